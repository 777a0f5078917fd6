"""serxbench prompts"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from serxbench.cli import _options as options

if TYPE_CHECKING:
    from serxbench.catalog import Template
    from serxbench.records import Prompt


@click.command()
@click.argument("name", required=False)
@options.prompts
@options.as_json
def command(name: str | None, prompts: tuple[Path, ...], as_json: bool) -> None:
    """List the prompts, or show the one called NAME as a model is asked it."""
    from serxbench.catalog import list_prompts, load_prompt, load_template, read_prompt
    from serxbench.cli._console import print_table
    from serxbench.emotions import EMOTIONS

    found = {each: read_prompt(path) for each, path in list_prompts(prompts).items()}

    def load(each: str) -> Prompt | Template:
        """A question to a SpeechLM as it is asked; of other prompts the text, whose places are filled in each time."""
        known = each not in found or found[each].fields["task"] == "respond"
        return load_prompt(each, EMOTIONS, prompts) if known else load_template(each, prompts)

    if name:
        prompt = load(name)
        shown = {key: value for key, value in dataclasses.asdict(prompt).items() if value is not None}
        click.echo(json.dumps(shown, ensure_ascii=False) if as_json else prompt.text)
        return
    hashes = {each: load(each).sha256 for each in found}
    if as_json:
        rows = [{**found[each].fields, "text": found[each].text, "sha256": hashes[each]} for each in found]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    print_table(
        ["prompt", "version", "task", "hash (8 classes)", "source"],
        [
            [each, str(prompt.fields["version"]), prompt.fields["task"], hashes[each][:12], prompt.fields["source"]]
            for each, prompt in found.items()
        ],
    )
