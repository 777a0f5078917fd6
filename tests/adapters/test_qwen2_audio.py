"""What is particular to Qwen2-Audio; the rest is in test_contract.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serxbench.adapters import Loading
from serxbench.adapters.qwen2_audio import Qwen2Audio, load
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.catalog import load_prompt
from serxbench.emotions import EMOTIONS
from serxbench.errors import AdapterError
from serxbench.records import Decoding

CLIP = Clip(waveform=np.random.default_rng(0).normal(scale=0.1, size=SAMPLE_RATE).astype(np.float32), seconds=1.0)


@pytest.fixture(scope="module")
def adapter(tiny_checkpoint: Path) -> Qwen2Audio:
    return load(Loading(folder=tiny_checkpoint))


def test_a_processor_that_drops_the_audio_is_caught(adapter: Qwen2Audio) -> None:
    processor = adapter._processor
    try:
        adapter._processor = _OneTokenAudio(processor)
        with pytest.raises(AdapterError, match="would not reach the model"):
            adapter.generate(["a"], [CLIP], load_prompt("open", EMOTIONS), Decoding())
    finally:
        adapter._processor = processor


class _OneTokenAudio:
    """A processor as some releases had it: the prompt keeps one placeholder, whatever the clip."""

    def __init__(self, processor: object) -> None:
        self._processor = processor

    def __getattr__(self, name: str) -> object:
        return getattr(self._processor, name)

    def __call__(self, **given: object) -> object:
        inputs = self._processor(**given)  # type: ignore[operator]
        audio = (inputs["input_ids"] == self._processor.audio_token_id).nonzero()  # type: ignore[attr-defined]
        inputs["input_ids"][:, audio[0, 1] + 1 : audio[-1, 1] + 1] = 0
        return inputs


def test_a_prompt_style_changes_what_the_model_reads(adapter: Qwen2Audio, tiny_checkpoint: Path) -> None:
    trained = load(Loading(folder=tiny_checkpoint, prompt_style="llamafactory"))
    prompt = load_prompt("open", EMOTIONS)
    assert np.abs(trained.hear([CLIP], prompt) - adapter.hear([CLIP], prompt)).max() > 1e-2
