"""Families beside Qwen2-Audio: a LoRA is on the language model alone, and what was learnt is what a run loads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_speech_llms
import torch

from serxbench.adapters import Loading, find_adapter
from serxbench.adapters.lora import hear_test_clip
from serxbench.catalog import resolve_card
from serxbench.errors import AdapterError
from serxbench.progress import Silent
from serxbench.sft.limits import Limits
from serxbench.sft.pool import build_pool, open_recipe
from serxbench.sft.recipe import Settings, read_recipe
from serxbench.sft.trainee import IGNORED, load_trainee
from serxbench.stages.models import load_adapter, locate_model

from .training import losses, train

WriteRecipe = Callable[..., Path]

FAMILIES = ("qwen2_5_omni", "audio_flamingo_3")

pytestmark = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def base(family: str, tmp_path: Path) -> Path:
    folder: Path = getattr(tiny_speech_llms, family)(tmp_path / "base")
    return folder


def test_the_loss_is_over_the_answers_whatever_is_batched(family: str, base: Path, write_recipe: WriteRecipe) -> None:
    recipe = read_recipe(str(write_recipe(base=str(base))))
    loading = Loading(folder=base)
    limits = Limits(family, loading, recipe.settings)
    pool = build_pool(open_recipe(recipe, ("with-reason",), lambda data: None), limits, Silent())
    trainee = load_trainee(family, loading, Settings(dtype="float32"))
    samples = sorted(pool.samples, key=lambda sample: sample.n_samples)[::8]
    alone = [trainee.build([sample], "with-reason") for sample in samples]
    for sample, batch in zip(samples, alone, strict=True):
        assert trainee.supervised_text(batch.labels[0]) == sample.target("with-reason") + "<|im_end|>"
        assert batch.labels.shape[1] == limits.count_tokens(sample, ["with-reason"])
        assert bool((batch.labels[0, : -batch.n_targets] == IGNORED).all())
    together = trainee.build(samples, "with-reason")
    with torch.no_grad():
        separate = sum(float(trainee.loss(batch)) for batch in alone)
        assert float(trainee.loss(together)) == pytest.approx(separate, rel=1e-5)


def test_a_lora_is_trained_and_loaded(family: str, base: Path, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    (trained,) = train(write_recipe(base=str(base)), tmp_path / "out")
    found = losses(tmp_path / "out")
    assert np.mean(found[-3:]) < np.mean(found[:3]) - 0.3
    learnt = json.loads((trained.folder / "sft.json").read_text())["outcome"]["parameters"]
    kinds = {re.sub(r"\.\d+\.", ".*.", name).rpartition(".lora_")[0] for name in learnt}
    assert len(kinds) == 5
    assert sum(kind.endswith("lm_head") for kind in kinds) == 1
    assert {kind.rpartition(".")[2] for kind in kinds} == {"q_proj", "k_proj", "v_proj", "o_proj", "lm_head"}
    assert not any("audio" in kind or "visual" in kind for kind in kinds)
    of_base, of_lora = (
        hear_test_clip(load_adapter(locate_model(resolve_card(str(folder))), "cpu", "float32"))
        for folder in (base, trained.folder)
    )
    assert abs(of_lora - of_base).max() > 0.1


def test_all_weights_learn_only_of_a_checkpoint_that_can_be_written_back(family: str, base: Path) -> None:
    settings = Settings(method="full", dtype="float32")
    if family == "qwen2_5_omni":  # a thinker among other things
        with pytest.raises(AdapterError, match="only the part 'qwen2_5_omni_thinker' is loaded; train a LoRA"):
            load_trainee(family, Loading(folder=base), settings)
    else:
        trainee = load_trainee(family, Loading(folder=base), settings)
        model = find_adapter(family).load(Loading(folder=base))._model
        assert len(trainee.trainable) == len(list(model.parameters()))
