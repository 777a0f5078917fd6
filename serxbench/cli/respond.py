"""serxbench respond"""

from __future__ import annotations

from typing import Any

import click

from serxbench.cli._asking import asking_options, make_request


@click.command()
@asking_options
def command(asked: dict[str, Any], quiet: bool) -> int:
    """Ask a model about every utterance of a corpus; parse and score nothing.

    Repeating the command goes on where it stopped.
    """
    from serxbench.cli import EXIT_FAILED_RECORDS
    from serxbench.cli._console import listen
    from serxbench.records import Response
    from serxbench.runs import RESPONSES
    from serxbench.stages.respond import respond

    progress = listen(quiet)
    request, out = make_request(asked, progress, scored=False)
    run = respond(request, out, progress)
    responses = run.read_records(RESPONSES, Response)
    n_failed = sum(response.stop in ("error", "filtered") for response in responses)
    progress.say(f"{out}: {len(responses)} responses, {n_failed} failed")
    progress.say(f"next: serxbench parse {out}")
    return EXIT_FAILED_RECORDS if n_failed else 0
