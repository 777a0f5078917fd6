"""A recipe trained in this process, and its curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conftest import read_rows

from serxbench.catalog import resolve_card
from serxbench.progress import Silent
from serxbench.sft.recipe import read_recipe
from serxbench.stages.sft import SftRequest, Trained, sft


def train(path: Path, out: Path, variants: Any = ("with-reason",), **changes: Any) -> list[Trained]:
    recipe = read_recipe(str(path), changes)
    request = SftRequest(
        recipe=recipe,
        base=resolve_card(recipe.base),
        variants=tuple(variants),
        root_of=lambda data: None,
        device="cpu",
    )
    return sft(request, out, Silent())


def losses(out: Path, variant: str = "with-reason") -> list[float]:
    return [row["loss"] for row in read_rows(out / variant / "losses.jsonl") if "loss" in row]
