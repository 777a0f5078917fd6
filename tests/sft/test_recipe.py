"""Recipes: the embedded ones can be read, the defaults are the paper's, and a mistake is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from serxbench.errors import DefinitionError, SerxbenchError, UnknownName
from serxbench.sft.recipe import Settings, list_recipes, read_recipe

PLAIN: dict[str, Any] = {"name": "r", "base": "nano", "corpora": [{"data": "demo:train"}]}


def write(tmp_path: Path, **changes: Any) -> str:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({**PLAIN, **changes}))
    return str(path)


@pytest.mark.parametrize("name", list_recipes())
def test_embedded_recipes_can_be_read(name: str) -> None:
    assert read_recipe(name).name == name


def test_the_papers_recipe_is_the_papers() -> None:
    recipe = read_recipe("paper")
    assert recipe.base == "q2a"
    assert [source.data.partition(":")[0] for source in recipe.sources] == [
        "crema-d",
        "iemocap",
        "meld",
        "ravdess",
        "msp-podcast",
    ]
    settings = recipe.settings
    assert (settings.method, settings.rank, settings.alpha, settings.learning_rate) == ("lora", 8, 16, 1e-5)
    assert (settings.batch_size, settings.samples_per_step, settings.epochs) == (1, 8, 2)
    assert (settings.max_samples, settings.max_tokens, settings.warmup_share) == (15_000, 2_048, 0.1)
    assert settings == Settings()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpra": []}, "unknown key 'corpra'; did you mean 'corpora'"),
        ({"corpora": []}, "missing key 'corpora'"),
        ({"corpora": ["demo:train"]}, "corpora: 'key: value' lines were wanted; found str"),
        ({"corpora": [{"data": "demo:train", "labels": ["Angyr"]}]}, "no class 'Angyr'; did you mean 'Angry'"),
        ({"settings": {"learning_rate": "1e-5"}}, "must be of type float; found '1e-5'; YAML reads 1e-5 as text"),
        ({"settings": {"learning_rat": 1.0}}, "unknown key 'learning_rat'; did you mean 'learning_rate'"),
        ({"settings": {"epochs": True}}, "epochs must be of type int; found True"),
        ({"settings": {"epochs": 0}}, "epochs must be at least 1"),
        ({"settings": {"method": "qlora"}}, "method must be one of lora, full"),
        ({"settings": {"batch_size": 3}}, r"samples_per_step \(8\) must be a multiple of batch_size \(3\)"),
        ({"settings": {"speeds": [0.1]}}, "speeds must be numbers from 0.5 to 2"),
        ({"settings": {"validation_share": 0.0}}, "validation_share between 0 and 1"),
        ({"models": {"with-reason": "../evil"}}, "with-reason must be a name"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        read_recipe(write(tmp_path, **changes))


def test_settings_can_be_changed_from_outside(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, settings={"epochs": 3}), {"epochs": 5, "rank": 4})
    assert (recipe.settings.epochs, recipe.settings.rank) == (5, 4)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'paper'"):
        read_recipe("papers")
    with pytest.raises(SerxbenchError, match="no such file"):
        read_recipe("papers.yaml")
