"""serxbench score"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from serxbench.cli import _options as options
from serxbench.cli._scoring import is_wanted, make_settings, open_scored, scoring_options


@click.command()
@options.runs_argument
@scoring_options
@options.option("--data-root", type=options.FOLDER, help="Where the corpus lies, if not where it lay during the run.")
@options.as_json
def command(runs: tuple[Path, ...], chosen: dict[str, Any], data_root: Path | None, as_json: bool) -> None:
    """Score finished runs. Answers that are not parsed or mapped yet, or not any more, are."""
    from serxbench.cli._report import print_scores
    from serxbench.stages.score import score

    settings = make_settings(chosen)
    scored = []
    for path in runs:
        run = open_scored(path, data_root)
        scores = score(run, settings=settings)
        rows = [row for row in scores["scores"] if is_wanted(row, chosen)]
        scored.append((run, {**scores, "scores": rows}))
    print_scores(scored, as_json)
