"""serxbench score"""

from __future__ import annotations

from pathlib import Path

import click

from serxbench.cli import _options as options


@click.command()
@options.runs_argument
@options.option("--data-root", type=options.FOLDER, help="Where the corpus lies, if not where it lay during the run.")
@options.as_json
def command(runs: tuple[Path, ...], data_root: Path | None, as_json: bool) -> None:
    """Score finished runs. Answers that are not parsed or mapped yet, or not any more, are."""
    from serxbench.cli._report import print_scores
    from serxbench.runs import Run
    from serxbench.stages.cluster import cluster
    from serxbench.stages.parse import parse
    from serxbench.stages.score import score

    scored = []
    for path in runs:
        run = Run.open(path)
        if data_root is not None:
            known = run.recall_corpus()
            run.remember_corpus(known[0] if known else str(run.manifest.corpus["name"]), data_root.resolve())
        parse(run)
        cluster(run)
        scored.append((run, score(run)))
    print_scores(scored, as_json)
