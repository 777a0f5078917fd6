"""serxbench cluster"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from serxbench.cli import _options as options


@click.command()
@options.runs_argument
@options.clusterer
@options.quiet
def command(runs: tuple[Path, ...], clusterer: str | None, quiet: bool) -> None:
    """Map every parsed emotion word of a run to a class (again)."""
    from serxbench.runs import Run
    from serxbench.stages.cluster import cluster

    for path in runs:
        predictions = cluster(Run.open(path), clusterer)
        counts = Counter(prediction.label or prediction.status for prediction in predictions)
        unlisted = Counter(prediction.word for prediction in predictions if prediction.via == "unlisted")
        if not quiet:
            click.echo(f"{path}: " + ", ".join(f"{n} {label}" for label, n in counts.most_common()), err=True)
            if unlisted:
                words = ", ".join(f"{_shown(word)} ({n})" for word, n in unlisted.most_common(10))
                click.echo(f"not in the word table, counted as Other: {words}", err=True)
            click.echo(f"next: serxbench score {path}", err=True)


def _shown(word: str | None) -> str:
    """A word of a model's answer, safe to print: no control characters, not longer than a line."""
    return "".join(letter for letter in word or "" if letter.isprintable())[:40]
