"""serxbench models"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from serxbench.cli import _options as options


@click.command()
@options.cards
@options.as_json
def command(cards: tuple[Path, ...], as_json: bool) -> None:
    """List the models that can be run."""
    from serxbench.catalog import list_cards, read_card
    from serxbench.checkpoints import is_here
    from serxbench.cli._console import print_table

    found = [read_card(path) for path in list_cards(cards).values()]
    if as_json:
        rows = [{**dataclasses.asdict(card), "path": str(card.path), "weights_here": is_here(card)} for card in found]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    print_table(
        ["model", "adapter", "repository", "parameters", "memory", "licence", "weights"],
        [
            [
                card.name,
                card.adapter,
                card.repository,
                card.parameters or "n/a",
                f"{card.memory_gib:g} GiB" if card.memory_gib else "n/a",
                card.licence,
                "here" if is_here(card) else "to download",
            ]
            for card in found
        ],
    )
