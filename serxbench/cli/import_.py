"""serxbench import"""

from __future__ import annotations

from pathlib import Path

import click

from serxbench.cli import _options as options


@click.command()
@click.argument("file", type=options.FILE)
@options.option("--model", required=True, metavar="NAME", help="What the system is called in tables.", envvar=None)
@options.mode
@options.cot
@options.data
@options.data_root
@options.limit
@options.option("--out", type=options.FOLDER, required=True, help="The run folder to make.", envvar=None)
@options.quiet
def command(
    file: Path,
    model: str,
    mode: str,
    cot: bool,
    data: str,
    data_root: Path | None,
    limit: int | None,
    out: Path,
    quiet: bool,
) -> int:
    """Turn answers or labels made elsewhere into a run.

    FILE is JSONL or CSV with the columns id and response (free text), or id and label.
    """
    from serxbench.catalog import as_mode
    from serxbench.cli import EXIT_FAILED_RECORDS
    from serxbench.records import Response
    from serxbench.runs import RESPONSES
    from serxbench.stages.import_answers import import_answers

    corpus = options.open_corpus(data, data_root, limit)
    run = import_answers(file, model, (as_mode(mode), cot), corpus, out)
    responses = run.read_records(RESPONSES, Response)
    absent = sum(response.stop == "error" for response in responses)
    if not quiet:
        click.echo(f"{out}: {len(responses)} utterances, {absent} of them without an answer", err=True)
        click.echo(f"next: serxbench score {out}", err=True)
    return EXIT_FAILED_RECORDS if absent else 0
