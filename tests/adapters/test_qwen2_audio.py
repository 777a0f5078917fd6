"""The contract of an adapter, on a tiny checkpoint of the true architecture whose own settings are traps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from serxbench.adapters import Loading
from serxbench.adapters.qwen2_audio import Qwen2Audio, load
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.catalog import load_prompt
from serxbench.emotions import EMOTIONS
from serxbench.errors import AdapterError
from serxbench.records import Decoding, Prompt

SHORT = Decoding(max_new_tokens=16)


@pytest.fixture(scope="module")
def adapter(tiny_checkpoint: Path) -> Qwen2Audio:
    return load(Loading(folder=tiny_checkpoint))


@pytest.fixture(scope="module")
def prompt() -> Prompt:
    return load_prompt("closed", EMOTIONS)


def clip(seconds: float, seed: int = 0) -> Clip:
    rng = np.random.default_rng(seed)
    waveform = rng.normal(scale=0.02 * (1 + seed), size=round(seconds * SAMPLE_RATE)).astype(np.float32)
    return Clip(waveform=waveform, seconds=seconds)


CLIPS = [clip(seconds, seed) for seed, seconds in enumerate((1.0, 0.31, 1.9, 0.12, 0.7, 1.3, 0.5))]
IDS = [f"u{n}" for n in range(len(CLIPS))]


def test_prompt_text(adapter: Qwen2Audio) -> None:
    assert adapter.render(load_prompt("open", EMOTIONS)) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nAudio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\n"
        "What emotion do you think the audio expresses?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_one_response_a_clip_in_order_and_repeatable(adapter: Qwen2Audio, prompt: Prompt) -> None:
    first = adapter.generate(IDS, CLIPS, prompt, SHORT)
    assert [response.id for response in first] == IDS
    assert [response.audio_seconds for response in first] == [each.seconds for each in CLIPS]
    assert first == adapter.generate(IDS, CLIPS, prompt, SHORT)


def test_the_batch_changes_nothing(adapter: Qwen2Audio, prompt: Prompt) -> None:
    together = adapter.generate(IDS, CLIPS, prompt, SHORT)
    alone = [adapter.generate([id], [each], prompt, SHORT)[0] for id, each in zip(IDS, CLIPS, strict=True)]
    backwards = adapter.generate(IDS[::-1], CLIPS[::-1], prompt, SHORT)[::-1]
    assert together == alone == backwards


def test_the_answer_depends_on_the_clip(adapter: Qwen2Audio, prompt: Prompt) -> None:
    texts = {response.text for response in adapter.generate(IDS, CLIPS, prompt, SHORT)}
    assert len(texts) > 1, "a model that is deaf to the audio answers everything alike"


def test_greedy_whatever_the_checkpoint_says(adapter: Qwen2Audio, prompt: Prompt, tiny_checkpoint: Path) -> None:
    saved = json.loads((tiny_checkpoint / "generation_config.json").read_text())
    assert saved["do_sample"]
    assert saved["repetition_penalty"] == 1.5, "the trap has to be set for this test to mean anything"
    import torch

    inputs = adapter._processor(
        text=[adapter.render(prompt)],
        audio=[CLIPS[0].waveform],
        sampling_rate=SAMPLE_RATE,
        return_tensors="pt",
    )
    tokens = inputs["input_ids"]
    by_hand = []
    for _ in range(SHORT.max_new_tokens):
        with torch.inference_mode():
            logits = adapter._model(**{**inputs, "input_ids": tokens, "attention_mask": torch.ones_like(tokens)}).logits
        by_hand.append(int(logits[0, -1].argmax()))
        tokens = torch.cat([tokens, torch.tensor([[by_hand[-1]]])], dim=1)
        if by_hand[-1] in adapter._end_tokens:
            break
    expected = adapter._processor.decode(by_hand, skip_special_tokens=True)
    assert adapter.generate(["a"], CLIPS[:1], prompt, SHORT)[0].text == expected


def test_sampling_is_asked_for_and_seeded(adapter: Qwen2Audio, prompt: Prompt) -> None:
    def texts(seed: int) -> list[str | None]:
        decoding = Decoding(max_new_tokens=16, temperature=1.5, seed=seed)
        return [response.text for response in adapter.generate(IDS, CLIPS, prompt, decoding)]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)


def test_stop_says_why_generation_ended(adapter: Qwen2Audio, prompt: Prompt) -> None:
    assert adapter.generate(["a"], CLIPS[:1], prompt, Decoding(max_new_tokens=1))[0].stop == "length"


def test_long_clips_are_cut_and_say_so(adapter: Qwen2Audio, prompt: Prompt) -> None:
    whole = clip(3.5, seed=3)
    head = Clip(waveform=whole.waveform[: 2 * SAMPLE_RATE], seconds=2.0)
    long, short = adapter.generate(["long", "short"], [whole, head], prompt, SHORT)
    assert (long.truncated, long.audio_seconds, long.note) == (True, 3.5, "cut from 3.5 s to 2 s")
    assert (short.truncated, short.note) == (False, None)
    assert long.text == short.text


def test_a_short_clip_fails_alone(adapter: Qwen2Audio, prompt: Prompt) -> None:
    clips = [CLIPS[0], clip(0.01), CLIPS[1], Clip(waveform=np.zeros(0, np.float32), seconds=0.0)]
    responses = adapter.generate(list("abcd"), clips, prompt, SHORT)
    assert [response.stop == "error" for response in responses] == [False, True, False, True]
    assert responses[1].error == "clip of 0.010 s is too short; the model needs at least 0.1 s"
    assert responses[1].text is None
    assert responses[0].text == adapter.generate(["a"], CLIPS[:1], prompt, SHORT)[0].text


def test_a_processor_that_drops_the_audio_is_caught(adapter: Qwen2Audio, prompt: Prompt) -> None:
    processor = adapter._processor
    try:
        adapter._processor = _OneTokenAudio(processor)
        with pytest.raises(AdapterError, match="would not reach the model"):
            adapter.generate(["a"], CLIPS[:1], prompt, SHORT)
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


def test_what_cannot_be_loaded_is_named(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no prompt style 'chatml'; there are: chat"):
        load(Loading(folder=tiny_checkpoint, prompt_style="chatml"))
    broken = shutil.copytree(tiny_checkpoint, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(AdapterError, match="cannot be loaded as Qwen2-Audio"):
        load(Loading(folder=broken))
    tensors = safetensors.torch.load_file(tiny_checkpoint / "model.safetensors")
    first = sorted(tensors)[0]
    safetensors.torch.save_file({k: v for k, v in tensors.items() if k != first}, broken / "model.safetensors")
    with pytest.raises(AdapterError, match="1 weights are not in the checkpoint"):
        load(Loading(folder=broken))
