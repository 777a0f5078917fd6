"""serxbench prompts"""

from __future__ import annotations

import json
from pathlib import Path

import click

from serxbench.cli import _options as options


@click.command()
@click.argument("name", required=False)
@options.prompts
@options.as_json
def command(name: str | None, prompts: tuple[Path, ...], as_json: bool) -> None:
    """List the prompts, or show the one called NAME as a model is asked it."""
    from serxbench.catalog import list_prompts, load_prompt, read_prompt
    from serxbench.cli._console import print_table
    from serxbench.emotions import EMOTIONS

    if name:
        prompt = load_prompt(name, EMOTIONS, prompts)
        click.echo(prompt.to_json() if as_json else prompt.text)
        return
    found = {each: read_prompt(path) for each, path in list_prompts(prompts).items()}
    hashes = {each: load_prompt(each, EMOTIONS, prompts).sha256 for each in found}
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
