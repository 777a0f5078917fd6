"""`python -m serxbench` is the command line."""

from serxbench.cli import main

main()
