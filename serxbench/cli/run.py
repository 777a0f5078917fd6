"""serxbench run"""

from __future__ import annotations

from typing import Any

import click

from serxbench.cli import _options as options
from serxbench.cli._asking import asking_options, make_request


@click.command()
@asking_options
@options.parsers
@options.clusterer
@options.as_json
def command(asked: dict[str, Any], parsers: tuple[str, ...], clusterer: str | None, as_json: bool, quiet: bool) -> int:
    """Ask a model about a corpus, parse its answers, and score them.

    Repeating the command goes on where it stopped; the stages that are up to date are not done again.
    """
    from serxbench.cli import EXIT_FAILED_RECORDS
    from serxbench.cli._console import listen
    from serxbench.cli._forecast import print_forecast
    from serxbench.cli._report import print_scores
    from serxbench.cli._verification import check_verifiable, print_flips
    from serxbench.clustering import get_clusterer
    from serxbench.parsing import get_parser
    from serxbench.stages.cluster import cluster
    from serxbench.stages.parse import parse
    from serxbench.stages.respond import respond
    from serxbench.stages.score import score

    for name in parsers:
        get_parser(name)
    if clusterer:
        get_clusterer(clusterer)
    progress = listen(quiet)
    request, out = make_request(asked, progress, scored=True)
    if asked["dry_run"]:
        return print_forecast(request, out, as_json)
    check_verifiable(request, asked["verify_batch"])
    run = respond(request, out, progress)
    parse(run, parsers)
    cluster(run, clusterer)
    scores = score(run, request.corpus)
    print_scores([(run, scores)], as_json)
    print_flips(run, request, asked["verify_batch"], progress)
    progress.say(f"next: serxbench leaderboard {out} --out leaderboards/mine.md")
    return EXIT_FAILED_RECORDS if scores["answers"]["n_failed"] else 0
