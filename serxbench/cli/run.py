"""serxbench run"""

from __future__ import annotations

from typing import Any

import click

from serxbench.cli import _options as options
from serxbench.cli._asking import asking_options, make_request
from serxbench.cli._reading import reading_options, request_for


@click.command()
@asking_options
@reading_options
@options.as_json
def command(asked: dict[str, Any], reading: dict[str, Any], as_json: bool, quiet: bool) -> int:
    """Ask a model about a corpus, parse its answers, and score them.

    Repeating the command goes on where it stopped; the stages that are up to date are not done again.
    """
    from serxbench.cli import EXIT_FAILED_RECORDS
    from serxbench.cli._console import listen
    from serxbench.cli._forecast import print_forecast
    from serxbench.cli._report import print_scores
    from serxbench.cli._verification import check_verifiable, print_flips
    from serxbench.stages.cluster import check_clusterer, cluster
    from serxbench.stages.parse import check_parsers, parse
    from serxbench.stages.respond import respond
    from serxbench.stages.score import score

    clusterer, word_table = reading["clusterer"], reading["word_table"]
    of_parser, of_clusterer = (request_for(role, reading, asked["cards"]) for role in ("parser", "clusterer"))
    check_parsers(reading["parsers"], of_parser)
    if clusterer:
        check_clusterer(clusterer, word_table, of_clusterer)
    progress = listen(quiet)
    request, out = make_request(asked, progress, scored=True)
    if asked["dry_run"]:
        return print_forecast(request, out, as_json)
    check_verifiable(request, asked["verify_batch"])
    run = respond(request, out, progress)
    parse(run, reading["parsers"], of_parser, progress)
    cluster(run, clusterer, word_table, of_clusterer, progress)
    scores = score(run, request.corpus)
    print_scores([(run, scores)], as_json)
    print_flips(run, request, asked["verify_batch"], progress)
    progress.say(f"next: serxbench leaderboard {out} --out leaderboards/mine.md")
    return EXIT_FAILED_RECORDS if scores["answers"]["n_failed"] else 0
