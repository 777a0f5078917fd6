"""serxbench env"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from serxbench.cli import _options as options


@click.group()
def command() -> None:
    """Build, list and remove the virtual environments of models that cannot live in this process."""


@command.command()
@click.argument("card")
@click.option("--rebuild", is_flag=True, help="Make it anew if it is there already.")
@options.cards
@options.quiet
def build(card: str, rebuild: bool, cards: tuple[Path, ...], quiet: bool) -> None:
    """Build the environment that CARD asks for. Prints its folder.

    Packages come from the index that your pip is configured for, besides one that the card may name.
    """
    from serxbench.cli._console import listen
    from serxbench.stages.environments import build_environment

    environment = build_environment(card, cards, listen(quiet).say, rebuild)
    click.echo(environment.folder)


@command.command("list")
@options.cards
@options.as_json
def list_(cards: tuple[Path, ...], as_json: bool) -> None:
    """List the environments that cards ask for, and those that are there."""
    from serxbench.cli._console import print_table
    from serxbench.stages.environments import list_environments

    found = list_environments(cards)
    if as_json:
        rows = [{**dataclasses.asdict(each), "folder": str(each.folder)} for each in found]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    print_table(
        ["card", "state", "packages", "size", "folder"],
        [
            [
                each.card or "n/a",
                each.state,
                "n/a" if each.packages is None else str(each.packages),
                "n/a" if each.bytes is None else f"{each.bytes / 2**30:.1f} GiB",
                str(each.folder),
            ]
            for each in found
        ],
    )


@command.command()
@click.argument("card")
def remove(card: str) -> None:
    """Remove every environment that was built for CARD, those of its earlier wording too."""
    from serxbench.stages.environments import remove_environments

    for folder in remove_environments(card):
        click.echo(folder)
