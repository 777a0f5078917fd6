"""serxbench merge"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from serxbench.cli import _options as options


@click.command()
@click.argument("model", metavar="CARD_OR_FOLDER")
@options.option(
    "--out", type=options.FOLDER, required=True, envvar=None, help="The folder of the checkpoint; a new one."
)
@options.option("--device", default="cpu", metavar="cpu|cuda", help="Where the test clip is heard.")
@options.option("--dtype", default="auto", metavar="auto|float32|bfloat16|float16", help="auto: the base's own.")
@options.cards
@options.as_json
@options.quiet
def command(
    model: str, out: Path, device: str, dtype: str, cards: tuple[Path, ...], as_json: bool, quiet: bool
) -> None:
    """Write a LoRA and its base as one checkpoint, for vLLM and for loading without peft.

    CARD_OR_FOLDER is a card with `adapter: lora`, or the folder of an adapter. The checkpoint is loaded again and must
    hear what base and adapter hear; a card in its folder says what it was made from.
    """
    from serxbench.catalog import resolve_card
    from serxbench.cli._console import listen
    from serxbench.stages.merge import MergeRequest, merge

    request = MergeRequest(card=resolve_card(model, cards), device=device, dtype=dtype, cards=cards)
    progress = listen(quiet)
    merged = merge(request, out, progress)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(merged), default=str))
    else:
        click.echo(f"{merged.card}: {merged.dtype}, logits within {merged.difference:.2g} of base and adapter")
    progress.say(f"next: serxbench run --model {out} --mode closed")
