"""serxbench leaderboard"""

from __future__ import annotations

from pathlib import Path

import click

from serxbench.cli import _options as options


@click.command()
@options.runs_argument
@options.option("--out", type=options.FILE, envvar=None, help="The markdown file to write.  [default: stdout]")
def command(runs: tuple[Path, ...], out: Path | None) -> None:
    """Write a markdown leaderboard of scored runs, in the shape of the paper's Table 1."""
    from serxbench.runs import Run, write_atomically
    from serxbench.stages.leaderboard import leaderboard
    from serxbench.stages.score import read_scores

    text = leaderboard([read_scores(Run.open(path)) for path in runs])
    if out is None:
        click.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, text)
    click.echo(f"{out}: {len(runs)} runs", err=True)
