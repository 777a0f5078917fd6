"""serxbench respond"""

from __future__ import annotations

import json
from typing import Any

import click

from serxbench.cli import _options as options
from serxbench.cli._asking import asking_options, make_request


@click.command()
@asking_options
@options.as_json
def command(asked: dict[str, Any], as_json: bool, quiet: bool) -> int:
    """Ask a model about every utterance of a corpus; parse and score nothing.

    Repeating the command goes on where it stopped.
    """
    from serxbench.cli import EXIT_FAILED_RECORDS
    from serxbench.cli._console import listen
    from serxbench.cli._forecast import print_forecast
    from serxbench.cli._verification import check_verifiable, print_flips
    from serxbench.records import Response
    from serxbench.runs import RESPONSES
    from serxbench.stages.respond import respond

    progress = listen(quiet)
    request, out = make_request(asked, progress, scored=False)
    if asked["dry_run"]:
        return print_forecast(request, out, as_json)
    check_verifiable(request, asked["verify_batch"])
    run = respond(request, out, progress)
    responses = run.read_records(RESPONSES, Response)
    n_failed = sum(response.stop in ("error", "filtered") for response in responses)
    if as_json:
        click.echo(json.dumps({"run": str(out), "n": len(responses), "n_failed": n_failed}))
    else:
        progress.say(f"{out}: {len(responses)} responses, {n_failed} failed")
    print_flips(run, request, asked["verify_batch"], progress)
    progress.say(f"next: serxbench parse {out}")
    return EXIT_FAILED_RECORDS if n_failed else 0
