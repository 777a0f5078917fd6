"""serxbench leaderboard"""

from __future__ import annotations

from pathlib import Path

import click

from serxbench.cli import _options as options


@click.command()
@options.runs_argument
@options.option("--out", type=options.FILE, envvar=None, help="The markdown file to write.  [default: stdout]")
@options.option(
    "--baseline",
    type=options.FOLDER,
    multiple=True,
    envvar=None,
    help="One of the runs: those of its form that differ from it get a star. Once for each form.",
)
def command(runs: tuple[Path, ...], out: Path | None, baseline: tuple[Path, ...]) -> None:
    """Write a markdown leaderboard of scored runs, in the shape of the paper's Table 1."""
    from serxbench.errors import UsageError
    from serxbench.runs import Run, write_atomically
    from serxbench.stages.compare import compare
    from serxbench.stages.leaderboard import leaderboard
    from serxbench.stages.score import read_scores

    opened = {str(path): Run.open(path) for path in runs}
    scores = [{"run": name, **read_scores(run)} for name, run in opened.items()]
    forms = [Run.open(path).manifest.mode for path in baseline]
    if len(set(forms)) < len(forms):
        raise UsageError("--baseline: one run for each form; two of the same form were given")
    found = []
    for path, form in zip(baseline, forms, strict=True):
        others = [run for run in opened.values() if run.manifest.mode == form and run.path.resolve() != path.resolve()]
        if others:
            found.append(compare(others, Run.open(path)))
    text = leaderboard(scores, found)
    if out is None:
        click.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, text)
    click.echo(f"{out}: {len(runs)} runs", err=True)
