"""serxbench compare"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from serxbench.cli import _options as options
from serxbench.cli._scoring import is_wanted, make_settings, open_scored, scoring_options


@click.command()
@options.runs_argument
@options.option("--baseline", type=options.FOLDER, envvar=None, help="The run that all others are compared with.")
@options.option("--common", is_flag=True, envvar=None, help="Compare on the utterances that all runs share.")
@scoring_options
@options.option("--data-root", type=options.FOLDER, help="Where the corpus lies, if not where it lay during the runs.")
@options.as_json
def command(
    runs: tuple[Path, ...],
    baseline: Path | None,
    common: bool,
    chosen: dict[str, Any],
    data_root: Path | None,
    as_json: bool,
) -> None:
    """Test whether runs on the same items differ.

    With --baseline every other run is compared with it and p is Holm-adjusted inside each column; without, all pairs
    are compared (first minus second) and p is Benjamini-Hochberg-adjusted, which is exploratory.
    """
    from serxbench.cli._report import print_comparisons
    from serxbench.stages.compare import compare

    settings = make_settings(chosen)
    opened = [open_scored(path, data_root) for path in runs]
    against = open_scored(baseline, data_root) if baseline else None
    found = compare(opened, against, settings, common=common)
    found["comparisons"] = [row for row in found["comparisons"] if is_wanted(row, chosen)]
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        print_comparisons(found)
