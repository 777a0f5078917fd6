"""What is particular to Audio Flamingo 3; the rest is in test_contract.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_speech_llms

from serxbench.adapters import Loading
from serxbench.adapters.audio_flamingo_3 import AudioFlamingo3, load
from serxbench.audio import SAMPLE_RATE
from serxbench.catalog import load_prompt
from serxbench.emotions import EMOTIONS
from serxbench.errors import AdapterError

PROMPT = load_prompt("open", EMOTIONS)


def noise(seconds: float) -> Any:
    return np.random.default_rng(0).normal(scale=0.05, size=round(seconds * SAMPLE_RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> AudioFlamingo3:
    folder: Path = tiny_speech_llms.audio_flamingo_3(tmp_path_factory.mktemp("af3") / "tiny")
    return load(Loading(folder=folder))


@pytest.mark.parametrize(("seconds", "windows"), [(0.5, 1), (1.0, 1), (1.01, 2), (2.5, 3), (3.0, 3)])
def test_a_clip_is_windows_padded_to_their_full_length(adapter: AudioFlamingo3, seconds: float, windows: int) -> None:
    inputs = adapter.build_inputs([noise(seconds), noise(0.3)], PROMPT)
    assert inputs["input_features"].shape == (windows + 1, 16, 100)
    assert inputs["input_features_mask"].sum(-1).tolist()[-1] == 30
    emitted = adapter._model.get_audio_features(inputs["input_features"], inputs["input_features_mask"])
    found = (inputs["input_ids"] == adapter._model.config.audio_token_id).sum()
    assert found == len(emitted.pooler_output)


def test_windows_that_the_processor_dropped_are_missed(adapter: AudioFlamingo3) -> None:
    # Longer than the processor's own limit, which the adapter never asks for.
    with pytest.raises(AdapterError, match="the processor made 3 windows of sound; wanted 5"):
        adapter.build_inputs([noise(4.5)], PROMPT)
