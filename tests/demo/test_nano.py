"""The committed checkpoint: it loads as the real thing, and what trains it equals what runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

from serxbench.adapters._inputs import pooled_twice
from serxbench.audio import read_audio
from serxbench.demo import nano_base, nano_data
from serxbench.demo.generate import DATA
from serxbench.demo.nano_data import Features

NANO = Path(__file__).parents[2] / "model_cards" / "nano"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads on a busy machine wait for each other for minutes; this model needs only one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def processor() -> Any:
    return AutoProcessor.from_pretrained(NANO)


@pytest.fixture(scope="module")
def model() -> Any:
    return Qwen2AudioForConditionalGeneration.from_pretrained(NANO).eval()


def test_checkpoint_is_small_and_loads_as_float32(model: Any) -> None:
    assert sum(path.stat().st_size for path in NANO.iterdir()) <= 8_000_000
    assert 2_000_000 <= sum(parameter.numel() for parameter in model.parameters()) <= 4_000_000
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_attention_heads_are_of_a_size_that_vllm_has(model: Any) -> None:
    for config in (model.config.text_config, model.config.audio_config):
        assert config.hidden_size // config.num_attention_heads == 64


def test_processor_is_the_real_one(processor: Any) -> None:
    assert type(processor).__name__ == "Qwen2AudioProcessor"
    assert type(processor.feature_extractor).__name__ == "WhisperFeatureExtractor"
    assert processor.tokenizer.padding_side == "left"
    content = [{"type": "audio", "audio_url": ""}, {"type": "text", "text": "Well?"}]
    conversation = [{"role": "user", "content": content}]
    assert processor.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nAudio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\nWell?<|im_end|>\n<|im_start|>assistant\n"
    )
    for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"):
        assert len(processor.tokenizer(token)["input_ids"]) == 1


def test_generation_ends_at_the_turn(model: Any, processor: Any) -> None:
    ids = processor.tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert model.generation_config.eos_token_id == ids
    assert model.generation_config.pad_token_id == ids[1]
    assert not model.generation_config.do_sample


def test_training_hears_what_the_processor_makes(model: Any, processor: Any) -> None:
    """The features are the processor's without its padding, and the encoder is the model's on that shorter input.

    One frame differs: the first one after a clip's end is silence in training, and still hears the clip's last
    samples in the processor.
    """
    rows = nano_data.read_rows(DATA, "development")[:3]
    waveforms = [read_audio(DATA / row["audio"]).waveform for row in rows]
    features, frames = nano_data.pad_features([nano_data.clip_features(w, processor) for w in waveforms])
    inputs = processor(text=["<|AUDIO|>"] * 3, audio=waveforms, sampling_rate=16_000, padding=True, return_tensors="pt")
    cropped = inputs["input_features"][:, :, : features.shape[2]]
    for ours, theirs, end in zip(features, cropped, frames.tolist(), strict=True):
        assert torch.equal(ours[:, :end], theirs[:, :end])
        assert torch.equal(ours[:, end + 1 :], theirs[:, end + 1 :])
    heard: list[torch.Tensor] = []
    hook = model.model.multi_modal_projector.register_forward_hook(lambda *call: heard.append(call[2]))
    with torch.inference_mode():
        model(**inputs)
        hook.remove()
        audio = nano_base.encode(model, cropped, frames)
    counts = pooled_twice(frames)
    assert counts.tolist() == (inputs["input_ids"] == model.config.audio_token_id).sum(dim=1).tolist()
    for ours, theirs, count in zip(audio, heard[0], counts.tolist(), strict=True):
        torch.testing.assert_close(ours[:count], theirs[:count], atol=1e-4, rtol=1e-4)


def test_augmentation_keeps_the_shape_and_the_seed() -> None:
    mel = np.linspace(-1, 1, 80 * 50, dtype=np.float32).reshape(80, 50)
    drawn = [nano_data.augment(mel, np.random.RandomState(3)) for _ in range(2)]
    assert drawn[0].shape == mel.shape
    assert drawn[0].dtype == np.float32
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], mel)


def test_padding_is_the_silence_of_each_clip() -> None:
    short = Features(mel=np.zeros((80, 5), dtype=np.float32), floor=-0.5)
    long = Features(mel=np.ones((80, 9), dtype=np.float32), floor=-0.7)
    padded, frames = nano_data.pad_features([short, long])
    assert padded.shape == (2, 80, 16)
    assert frames.tolist() == [5, 9]
    assert padded[0, 0].tolist() == [0.0] * 5 + [-0.5] * 11
