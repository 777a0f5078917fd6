"""What a worker can serve. One module a model; a card names it, and docs/workers.md says what it holds.

These modules are run by server.py in environments that are not ours: they import from serxbench nothing but what
models/serxbench.py shows, and no syntax in them is newer than Python 3.9.
"""
