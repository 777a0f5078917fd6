"""serxbench parse"""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Any

import click

from serxbench.cli import _options as options
from serxbench.cli._llm import llm_options


@click.command()
@options.runs_argument
@options.parsers
@llm_options
@click.option("--dry-run", is_flag=True, help="Print how many questions it would take, and ask nothing.")
@options.quiet
def command(runs: tuple[Path, ...], parsers: tuple[str, ...], llm: dict[str, Any], dry_run: bool, quiet: bool) -> int:
    """Find the emotion in every answer of a finished run (again).

    A parser is `rules`, an LLM (a card's name, or openai:MODEL), or rules+LLM, which asks the LLM only about answers
    in which the rules find no commitment. What several read is stored side by side.
    """
    from serxbench.cli import EXIT_FAILED_RECORDS
    from serxbench.cli._console import listen
    from serxbench.cli._llm import make_llm_request
    from serxbench.runs import Run
    from serxbench.stages.parse import forecast, parse

    request_of = functools.partial(make_llm_request, llm=llm)
    if dry_run:
        for path in runs:
            for each in forecast(Run.open(path), parsers, request_of):
                price = "n/a" if each.usd is None else f"about {each.usd:.2f} US dollars"
                click.echo(
                    f"{path}  {each.parser}: {each.n_answers} answers, {each.n_questions} questions, "
                    f"{each.prompt_tokens} prompt tokens, price {price}"
                )
        return 0
    n_unanswered = 0
    for path in runs:
        progress = listen(quiet)
        records = parse(Run.open(path), parsers, request_of, progress)
        counts = Counter(parsed.status for parsed in records)
        n_unanswered += sum(parsed.route == "llm/unanswered" for parsed in records)
        progress.say(f"{path}: " + ", ".join(f"{n} {status}" for status, n in counts.most_common()))
        progress.say(f"next: serxbench cluster {path}")
    if n_unanswered and not quiet:
        click.echo(f"{n_unanswered} answers got no reply; repeat the command to ask about them again", err=True)
    return EXIT_FAILED_RECORDS if n_unanswered else 0
