"""A family's tokens without its weights are those of the loaded adapter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_speech_llms

from serxbench.adapters import Loading, find_adapter
from serxbench.adapters.qwen2_audio import load_renderer
from serxbench.errors import AdapterError
from serxbench.records import Prompt

PROMPT = Prompt(name="p", text="What emotion is it?", sha256="0")


@pytest.mark.parametrize(
    ("family", "style"),
    [("qwen2_audio", "chat"), ("qwen2_audio", "llamafactory"), ("qwen2_5_omni", "chat"), ("audio_flamingo_3", "chat")],
)
def test_the_tokens_are_the_loaded_adapters(tiny_checkpoint: Path, tmp_path: Path, family: str, style: str) -> None:
    folder = tiny_checkpoint if family == "qwen2_audio" else getattr(tiny_speech_llms, family)(tmp_path / "tiny")
    loading = Loading(folder=folder, prompt_style=style)
    module = find_adapter(family)
    renderer, adapter = module.load_renderer(loading), module.load(loading)
    assert (renderer.min_seconds, renderer.max_seconds) == (adapter.min_seconds, adapter.max_seconds)
    # Around the steps of hop (160) and of a token (640 samples), and a whole window.
    for samples in (1600, 1601, 1759, 1760, 1761, 2399, 2400, 2401, 16_000, int(adapter.max_seconds * 16_000)):
        clip = np.random.default_rng(samples).normal(size=samples).astype(np.float32)
        sent = adapter.build_inputs([clip], PROMPT)["input_ids"][0].tolist()
        assert renderer.tokens(samples, PROMPT) == renderer.build_tokens(clip, PROMPT) == sent


def test_one_audio_token_stands_for_the_sound(tiny_checkpoint: Path) -> None:
    renderer = load_renderer(Loading(folder=tiny_checkpoint))
    tokens = renderer.placeholder_tokens(PROMPT)
    assert tokens.count(renderer.audio_token) == 1
    assert len(renderer.tokens(16_000, PROMPT)) == len(tokens) - 1 + 25  # 25 tokens a second


def test_a_transcript_is_asked_without_sound(tiny_checkpoint: Path) -> None:
    loading = Loading(folder=tiny_checkpoint)
    renderer = load_renderer(loading)
    tokens = renderer.word_tokens(PROMPT, "hello <|AUDIO|> there")
    assert renderer.audio_token not in tokens
    assert "What emotion is it?" in renderer.decode([tokens])[0]


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="cannot be loaded as Qwen2-Audio"):
        load_renderer(Loading(folder=tmp_path))
