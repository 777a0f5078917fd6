"""What is particular to Phi-4-multimodal; the rest is in test_contract.py."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_speech_llms

from serxbench.adapters import Loading
from serxbench.adapters.phi4_multimodal import Phi4Multimodal, load
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.catalog import load_prompt
from serxbench.emotions import EMOTIONS
from serxbench.errors import AdapterError

PROMPT = load_prompt("open", EMOTIONS)
WAVEFORM = np.random.default_rng(0).normal(scale=0.05, size=round(1.2 * SAMPLE_RATE)).astype(np.float32)
CLIP = Clip(waveform=WAVEFORM, seconds=1.2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("peft")
    return tiny_speech_llms.phi4_multimodal(tmp_path_factory.mktemp("phi4") / "tiny")


@pytest.fixture(scope="module")
def adapter(checkpoint: Path) -> Phi4Multimodal:
    return load(Loading(folder=checkpoint))


def test_what_the_model_hears_is_what_transformers_gives_it(adapter: Phi4Multimodal) -> None:
    """The embeddings made here against the model's own way from token ids and features, for one clip."""
    import torch

    features = adapter._processor.feature_extractor([WAVEFORM], sampling_rate=SAMPLE_RATE, return_tensors="pt")
    text = adapter.render(PROMPT).replace("<|audio|>", "<|audio|>" * int(features["audio_embed_sizes"][0]))
    tokens = adapter._processor.tokenizer([text], return_tensors="pt")
    with torch.inference_mode():
        wanted = adapter._model(**tokens, **features).logits[:, -1].numpy()
    assert np.abs(wanted).max() > 1
    np.testing.assert_allclose(adapter.hear([CLIP], PROMPT), wanted, atol=1e-5)


def test_the_speech_adapter_is_on(adapter: Phi4Multimodal) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = adapter.hear([CLIP], PROMPT)
    layers = [module for module in adapter._model.modules() if isinstance(module, BaseTunerLayer)]
    assert layers
    for layer in layers:
        layer.enable_adapters(False)
    try:
        assert np.abs(adapter.hear([CLIP], PROMPT) - adapted).max() > 1e-2
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def rename(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name.replace(".layers.", ".blocks."): tensor for name, tensor in tensors.items()}


def drop(tensors: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(tensors.items())[:-1])


@pytest.mark.parametrize("damage", [rename, drop])
def test_a_speech_adapter_that_does_not_fit_is_refused(
    checkpoint: Path, tmp_path: Path, damage: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    import safetensors.torch

    folder = shutil.copytree(checkpoint, tmp_path / "damaged")
    file = folder / "speech-lora" / "adapter_model.safetensors"
    safetensors.torch.save_file(damage(safetensors.torch.load_file(file)), file, {"format": "pt"})
    with pytest.raises(AdapterError, match="LoRA weights are not in the model"):
        load(Loading(folder=folder))


def test_a_speech_adapter_for_fewer_modules_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "narrow")
    file = folder / "speech-lora" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "target_modules": r".*layers.*\.o_proj"}))
    with pytest.raises(AdapterError, match=r"12 of 16 LoRA weights are not in the model, which has 4"):
        load(Loading(folder=folder))


def test_names_without_pefts_prefix_load_too(checkpoint: Path, adapter: Phi4Multimodal, tmp_path: Path) -> None:
    import safetensors.torch

    folder = shutil.copytree(checkpoint, tmp_path / "plain")
    file = folder / "speech-lora" / "adapter_model.safetensors"
    tensors = safetensors.torch.load_file(file)
    plain = {name.removeprefix("base_model.model."): tensor for name, tensor in tensors.items()}
    safetensors.torch.save_file(plain, file, {"format": "pt"})
    np.testing.assert_array_equal(load(Loading(folder=folder)).hear([CLIP], PROMPT), adapter.hear([CLIP], PROMPT))


def test_what_is_not_there_is_named(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "bare")
    shutil.rmtree(folder / "speech-lora")
    with pytest.raises(AdapterError, match="has no speech-lora/"):
        load(Loading(folder=folder))
    (folder / "config.json").write_text('{"model_type": "phi4mm"}')
    with pytest.raises(AdapterError, match=r"model_type is 'phi4mm', wanted 'phi4_multimodal'.*refs/pr/70"):
        load(Loading(folder=folder))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AdapterError, match="needs the package peft"):
        load(Loading(folder=folder))
