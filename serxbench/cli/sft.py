"""serxbench sft"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from serxbench.cli import _options as options
from serxbench.cli._sft_export import export

if TYPE_CHECKING:
    from serxbench.stages.sft import SftRequest


class _RecipeOrVerb(click.Group):
    """`serxbench sft RECIPE …` trains; anything else is a verb of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts `train` in front of a recipe."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["train", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RecipeOrVerb, commands=[export])
def command() -> None:
    """Fine-tune a model on answers with the transcript, the emotion and the reason.

    `serxbench sft RECIPE --out DIR` is short for `serxbench sft train RECIPE --out DIR`. RECIPE is a YAML file, or the
    name of an embedded one.
    """


@command.command()
@click.argument("recipe")
@options.option("--out", type=options.FOLDER, required=True, envvar=None, help="Where all of it is kept.")
@options.option(
    "--variants",
    default="with-reason",
    metavar="with-reason,without-reason",
    help="What the answers hold; several are trained one after the other on the same samples in the same order.",
)
@options.option("--base", envvar=None, help="The model to start from.  [default: the recipe's]")
@options.option("--full", is_flag=True, envvar=None, help="Train all weights, not a LoRA.")
@options.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", envvar=None, help="Another setting; repeatable."
)
@options.option("--data-root", "roots", multiple=True, metavar="CORPUS=DIR", help="The folder of a corpus; repeatable.")
@options.option("--device", default="auto", metavar="auto|cpu|cuda", help="Where the model computes.")
@options.option("--evaluate", "data", multiple=True, metavar="CORPUS[:SPLIT]", envvar=None, help="Run and compare on.")
@options.option("--modes", default="open,closed", metavar="open,closed", envvar=None, help="The forms for --evaluate.")
@options.cards
@options.as_json
@options.quiet
def train(recipe: str, out: Path, as_json: bool, quiet: bool, **given: Any) -> None:
    """Train a model by a recipe, or two that differ in the reason only.

    Repeating the command goes on where it stopped, with the same result. On several GPUs: accelerate launch -m
    serxbench sft RECIPE --out DIR. With --evaluate the models are run on test items, and compared if there are two.
    """
    from serxbench.cli._ablation import evaluate
    from serxbench.cli._console import listen
    from serxbench.stages.sft import sft

    progress = listen(quiet)
    request = make_request(recipe, given)
    trained = sft(request, out, progress)
    if not trained:  # another process of `accelerate launch` has them
        return
    found = evaluate(trained, request, out, (given["data"], given["modes"], as_json), progress) if given["data"] else []
    if as_json:
        models = {each.variant: {"model": str(each.folder), **each.outcome} for each in trained}
        click.echo(json.dumps({"models": models, "comparisons": found}, indent=1, ensure_ascii=False))
        return
    for each in trained:
        outcome = each.outcome
        click.echo(
            f"{each.folder}: step {outcome['best_step']} of {outcome['steps']}, "
            f"validation loss {outcome['validation_loss']:.4f}"
        )
    if not given["data"]:
        progress.say(f"next: serxbench run --model {trained[0].folder} --mode open --data CORPUS:SPLIT")


def make_request(recipe: str, given: dict[str, Any]) -> SftRequest:
    """What the options mean."""
    from serxbench.catalog import resolve_card
    from serxbench.sft.recipe import read_recipe
    from serxbench.sft.targets import as_variant
    from serxbench.stages.sft import SftRequest

    changes = _read_changes(given["changes"]) | ({"method": "full"} if given.get("full") else {})
    found = read_recipe(recipe, changes)
    roots = dict(_read_root(text) for text in given["roots"])
    variants = dict.fromkeys(as_variant(name.strip()) for name in given["variants"].split(","))
    return SftRequest(
        recipe=found,
        base=resolve_card(given["base"] or found.base, given["cards"]),
        variants=tuple(variants),
        root_of=lambda data: options.root_of(data, roots.get(_corpus_of(data))),
        device=given.get("device", "cpu"),
        cards=given["cards"],
    )


def _corpus_of(data: str) -> str:
    return data.partition(":")[0].partition(",")[0].lower().replace("_", "-")


def _read_root(text: str) -> tuple[str, Path]:
    from serxbench.errors import UsageError

    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise UsageError(f"--data-root {text}: CORPUS=DIR was wanted, for a recipe may have several corpora")
    return _corpus_of(name), Path(folder).expanduser()


def _read_changes(texts: tuple[str, ...]) -> dict[str, Any]:
    import yaml

    from serxbench.errors import UsageError

    changes: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"--set {text}: NAME=VALUE was wanted")
        try:
            changes[name.replace("-", "_")] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {name}: {value!r} is no value ({error.__class__.__name__})") from error
    return changes
