"""serxbench sft export"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from serxbench.cli import _options as options


@click.command("export")
@click.argument("recipe")
@options.option("--format", "format", required=True, metavar="llamafactory", envvar=None, help="Whose format.")
@options.option("--out", type=options.FOLDER, required=True, envvar=None, help="The folder of the files.")
@options.option(
    "--variants", default="with-reason", metavar="with-reason,without-reason", help="What the answers hold."
)
@options.option("--base", envvar=None, help="The model to start from.  [default: the recipe's]")
@options.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", envvar=None, help="Another setting; repeatable."
)
@options.option("--data-root", "roots", multiple=True, metavar="CORPUS=DIR", help="The folder of a corpus; repeatable.")
@options.cards
@options.quiet
def export(recipe: str, format: str, out: Path, quiet: bool, **given: Any) -> None:
    """Write a recipe's samples and settings for another trainer: LLaMA-Factory.

    Training there: llamafactory-cli train OUT/VARIANT.yaml. The folder that it writes is a model for `serxbench run
    --model`; it is asked with the prompt that LLaMA-Factory trains with.
    """
    from serxbench.cli._console import listen
    from serxbench.cli.sft import make_request
    from serxbench.errors import UnknownName
    from serxbench.stages.sft import FORMATS, export_samples

    if format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    for path in export_samples(make_request(recipe, given), format, out, listen(quiet)):
        click.echo(str(path))
