"""serxbench corpora"""

from __future__ import annotations

import dataclasses
import json

import click

from serxbench.cli import _options as options


@click.command()
@options.as_json
def command(as_json: bool) -> None:
    """List the corpora, their splits and their options.

    `--data CORPUS:SPLIT,OPTION=VALUE` takes a split and options; `serxbench data check` looks at one on disk.
    """
    from serxbench.cli._console import print_table
    from serxbench.cli._defaults import data_root_of
    from serxbench.corpora import CorpusInfo, find_corpus, list_corpora

    def _splits(info: CorpusInfo) -> str:
        rest = [split for split in info.splits if split != info.default_split]
        return ", ".join([info.default_split, *rest]) if info.default_split else "n/a"

    infos: list[CorpusInfo] = [find_corpus(name).INFO for name in list_corpora()]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(info) for info in infos], indent=2, ensure_ascii=False))
        return
    print_table(
        ["corpus", "splits (default first)", "classes", "data", "licence", "what it is"],
        [
            [
                info.name,
                _splits(info),
                str(len(info.labels)),
                "embedded" if not info.needs_root and not info.takes_path else str(data_root_of(info.name) or "yours"),
                info.licence,
                info.description,
            ]
            for info in infos
        ],
    )
    for info in infos:
        for option in info.options:
            click.echo(f"\n{info.name}, option {option.name}:")
            for value, meaning in option.choices.items():
                default = " (default)" if value == option.default else ""
                click.echo(f"  {option.name}={value}{default}: {meaning}")
