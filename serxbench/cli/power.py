"""serxbench power"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from serxbench.cli import _options as options


@click.command()
@options.option("--data", metavar="CORPUS[:SPLIT]", envvar=None, help="Plan for a corpus that is here.")
@options.data_root
@options.option("--items", type=int, envvar=None, help="Or for so many items …")
@options.option("--classes", type=int, default=8, envvar=None, help="… of so many equally frequent classes …")
@options.option("--shares", envvar=None, metavar="N,N,…", help="… or of classes in these proportions …")
@options.option("--speakers", type=int, envvar=None, help="… by so many speakers.")
@options.option("--recall", type=float, default=0.4, envvar=None, help="Assumed of both systems.")
@options.option("--power", type=float, default=0.8, envvar=None, help="How often the difference is to be found.")
@options.option("--alpha", type=float, default=0.05, envvar=None, help="Of the test.")
@options.as_json
def command(power: float, alpha: float, as_json: bool, **given: Any) -> None:
    """Say the smallest macro-F1 difference that a corpus can show.

    A rule of thumb from the corpus's size, classes and speakers, before any system is run. For two systems that were
    run, `serxbench compare` gives the figure from their own variance.
    """
    from serxbench.statistics import plan

    design = _design(**given)
    found = plan(design, power=power, alpha=alpha)
    if as_json:
        click.echo(json.dumps({"design": dataclasses.asdict(design), **dataclasses.asdict(found)}, indent=1))
        return
    speakers = f", {design.n_speakers} speakers" if design.n_speakers else ", items taken as independent"
    click.echo(f"{design.n_items} items, {len(design.class_shares)} classes{speakers}")
    click.echo(
        f"smallest macro-F1 difference found {100 * power:g} % of the time at alpha {alpha:g}: "
        f"{100 * found.difference:.2f} points (standard error {100 * found.se:.2f})"
    )
    if found.design_effect:
        click.echo(f"design effect of the speakers: {found.design_effect:.2f}")
    click.echo(
        f"assumed: both systems recall {100 * design.recall:g} % of every class, {100 * design.shared:g} % of their "
        f"answers are shared, correlation within a speaker {design.speaker_correlation:g}"
    )


def _design(
    data: str | None,
    data_root: Path | None,
    items: int | None,
    classes: int,
    shares: str | None,
    speakers: int | None,
    recall: float,
) -> Any:
    from serxbench.errors import UsageError
    from serxbench.statistics import Design

    if (data is None) == (items is None):
        raise UsageError("serxbench power: give either --data CORPUS or --items N")
    if data is not None:
        from serxbench.metrics import references, vote_table

        corpus = options.open_corpus(data, data_root)
        selection = references(vote_table(corpus.utterances, corpus.labels)).select("mv")
        known = {corpus.utterances[item].speaker for item in selection.items}
        n_speakers = speakers or (len(known) if None not in known and len(known) > 1 else None)
        support = [float(n) for n in selection.support]
        return Design(n_items=selection.n_items, class_shares=support, n_speakers=n_speakers, recall=recall)
    assert items is not None
    try:
        proportions = [float(share) for share in shares.split(",")] if shares else [1.0] * classes
    except ValueError:
        raise UsageError(f"--shares {shares}: numbers with commas between them are wanted") from None
    return Design(n_items=items, class_shares=proportions, n_speakers=speakers, recall=recall)
