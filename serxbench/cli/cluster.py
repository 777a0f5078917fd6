"""serxbench cluster"""

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
@options.clusterer
@options.word_table
@llm_options
@options.quiet
def command(
    runs: tuple[Path, ...], clusterer: str | None, word_table: Path | None, llm: dict[str, Any], quiet: bool
) -> int:
    """Map every parsed emotion word of a run to a class (again).

    A clusterer is `table`, `minilm`, or an LLM (a card's name such as gpt-5, or openai:MODEL). An LLM is asked once
    about each word that no table lists, and what it says goes into a table for you to look through.
    """
    from serxbench.cli import EXIT_FAILED_RECORDS
    from serxbench.cli._console import listen
    from serxbench.cli._llm import make_llm_request
    from serxbench.runs import PREDICTIONS, Run
    from serxbench.stages.cluster import cluster

    request_of = functools.partial(make_llm_request, llm=llm)
    n_unanswered = 0
    for path in runs:
        progress, run = listen(quiet), Run.open(path)
        predictions = cluster(run, clusterer, word_table, request_of, progress)
        n_unanswered += int((run.maker(PREDICTIONS) or {}).get("n_unanswered", 0))
        counts = Counter(prediction.label or prediction.status for prediction in predictions)
        unlisted = Counter(prediction.word for prediction in predictions if prediction.via in ("unlisted", "far"))
        progress.say(f"{path}: " + ", ".join(f"{n} {label}" for label, n in counts.most_common()))
        if unlisted:
            words = ", ".join(f"{_shown(word)} ({n})" for word, n in unlisted.most_common(10))
            progress.say(f"not in the word table, counted as Other: {words}")
        progress.say(f"next: serxbench score {path}")
    if n_unanswered and not quiet:
        click.echo(f"{n_unanswered} words got no reply; repeat the command to ask about them again", err=True)
    return EXIT_FAILED_RECORDS if n_unanswered else 0


def _shown(word: str | None) -> str:
    """A word of a model's answer, safe to print: no control characters, not longer than a line."""
    return "".join(letter for letter in word or "" if letter.isprintable())[:40]
