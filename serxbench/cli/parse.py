"""serxbench parse"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from serxbench.cli import _options as options


@click.command()
@options.runs_argument
@options.parsers
@options.quiet
def command(runs: tuple[Path, ...], parsers: tuple[str, ...], quiet: bool) -> None:
    """Find the emotion in every answer of a finished run (again)."""
    from serxbench.runs import Run
    from serxbench.stages.parse import parse

    for path in runs:
        counts = Counter(parsed.status for parsed in parse(Run.open(path), parsers))
        if not quiet:
            click.echo(f"{path}: " + ", ".join(f"{n} {status}" for status, n in counts.most_common()), err=True)
            click.echo(f"next: serxbench cluster {path}", err=True)
