"""What is particular to Voxtral; the rest is in test_contract.py."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_speech_llms

from serxbench.adapters import Loading
from serxbench.adapters.voxtral import Voxtral, load
from serxbench.audio import SAMPLE_RATE
from serxbench.catalog import load_prompt
from serxbench.emotions import EMOTIONS
from serxbench.errors import AdapterError

PROMPT = load_prompt("open", EMOTIONS)


def noise(seconds: float) -> Any:
    return np.random.default_rng(0).normal(scale=0.05, size=round(seconds * SAMPLE_RATE)).astype(np.float32)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AdapterError, match=r"pip install 'serxbench\[voxtral\]'"):
        load(Loading(folder=tmp_path))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Voxtral:
    pytest.importorskip("mistral_common")
    folder: Path = tiny_speech_llms.voxtral(tmp_path_factory.mktemp("voxtral") / "tiny")
    return load(Loading(folder=folder))


def test_375_tokens_for_every_30_seconds_begun(adapter: Voxtral) -> None:
    inputs = adapter.build_inputs([noise(0.2), noise(30), noise(30.01)], PROMPT)
    assert (inputs["input_ids"] == adapter._model.config.audio_token_id).sum(-1).tolist() == [375, 375, 750]
    assert inputs["input_features"].shape == (4, 16, 3000)


def test_the_samples_arrive_as_they_are(adapter: Voxtral) -> None:
    waveform = noise(1.3)
    padded = np.pad(waveform, (0, 30 * SAMPLE_RATE - len(waveform)))
    wanted = adapter._processor.feature_extractor(padded, sampling_rate=SAMPLE_RATE, return_tensors="np")
    found = adapter.build_inputs([waveform], PROMPT)["input_features"]
    np.testing.assert_array_equal(found, wanted["input_features"])
