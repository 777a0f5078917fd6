"""What is particular to Qwen2.5-Omni and Qwen3-Omni; the rest is in test_contract.py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_models
import tiny_speech_llms

from serxbench.adapters import Loading, find_adapter
from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.catalog import load_prompt
from serxbench.emotions import EMOTIONS
from serxbench.errors import AdapterError

PROMPT = load_prompt("open", EMOTIONS)
FAMILIES = ("qwen2_5_omni", "qwen3_omni")


def noise(samples: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(scale=0.05, size=samples).astype(np.float32)


#: Lengths that are whole seconds, whole frames and neither, below and above a window of the encoders.
WAVEFORMS = [noise(n, seed) for seed, n in enumerate((16_000, 4960, 30_400, 1920, 11_200, 16_100, 32_000))]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("omni")
    return {name: getattr(tiny_speech_llms, name)(folder / name) for name in FAMILIES}


@pytest.fixture(scope="module")
def load(checkpoints: dict[str, Path]) -> Callable[[str], Any]:
    adapters = {name: find_adapter(name).load(Loading(folder=checkpoints[name])) for name in FAMILIES}
    return adapters.__getitem__


def test_features_are_those_of_300_seconds() -> None:
    from transformers import WhisperFeatureExtractor

    from serxbench.adapters.qwen2_5_omni import _samples_beyond

    extractor = WhisperFeatureExtractor(feature_size=128, chunk_length=300)
    for waveform in (WAVEFORMS[5], WAVEFORMS[6], noise(31_990)):
        long, short = (
            extractor(
                waveform,
                sampling_rate=SAMPLE_RATE,
                padding="max_length",
                max_length=samples,
                return_attention_mask=True,
                return_tensors="np",
            )
            for samples in (extractor.n_samples, _samples_beyond(len(waveform)))
        )
        frames = int(long["attention_mask"].sum())
        assert frames == short["attention_mask"].sum() == -(-len(waveform) // extractor.hop_length)
        np.testing.assert_array_equal(long["input_features"][..., :frames], short["input_features"][..., :frames])


@pytest.mark.parametrize("name", FAMILIES)
def test_inputs_are_the_processors(load: Callable[[str], Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers' own processor, its eyes replaced by a name, gives the same for a clip."""
    adapter = load(name)
    processor = blind_processor(adapter, name, monkeypatch)
    for waveform in WAVEFORMS:
        wanted = processor(
            text=[adapter.render(PROMPT)], audio=[waveform], sampling_rate=SAMPLE_RATE, return_tensors="pt"
        )
        found = adapter.build_inputs([waveform], PROMPT)
        assert set(found) == set(wanted)
        assert found["input_ids"].tolist() == wanted["input_ids"].tolist()
        assert found["attention_mask"].tolist() == wanted["attention_mask"].tolist()
        features = [each["input_features"][0][:, each["feature_attention_mask"][0].bool()] for each in (wanted, found)]
        np.testing.assert_array_equal(*features)


def blind_processor(adapter: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    import transformers

    monkeypatch.setattr(transformers.ProcessorMixin, "check_argument_for_proper_class", lambda *given: type(given[-1]))
    tokenizer = adapter._processor.tokenizer
    audio = tokenizer.convert_ids_to_tokens(adapter._model.config.audio_token_id)
    kinds = ("audio", "image", "video", "vision_bos", "vision_eos", "audio_bos", "audio_eos")
    for kind in kinds:
        token = audio if kind == "audio" else f"<no {kind}>"
        monkeypatch.setattr(tokenizer, f"{kind}_token", token, raising=False)
        monkeypatch.setattr(tokenizer, f"{kind}_token_id", tokenizer.convert_tokens_to_ids(token), raising=False)
    kind = {"qwen2_5_omni": "Qwen2_5OmniProcessor", "qwen3_omni": "Qwen3OmniMoeProcessor"}[name]
    eyes = SimpleNamespace(merge_size=2, model_input_names=[])
    return getattr(transformers, kind)(eyes, eyes, adapter._processor.feature_extractor, tokenizer)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_encoder_emits_as_many_tokens(load: Callable[[str], Any], name: str) -> None:
    import torch

    adapter = load(name)
    for samples in (*range(1600, 3200, 160), 15_840, 16_000, 16_160, 31_999, 47_000):
        inputs = adapter.build_inputs([noise(samples)], PROMPT)
        with torch.inference_mode():
            emitted = adapter._model.get_audio_features(inputs["input_features"], inputs["feature_attention_mask"])
        found = (inputs["input_ids"] == adapter._model.config.audio_token_id).sum()
        assert found == len(emitted.last_hidden_state)


def test_why_short_clips_go_alone(load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = load("qwen3_omni")
    clips = [Clip(waveform=each, seconds=len(each) / SAMPLE_RATE) for each in (WAVEFORMS[1], WAVEFORMS[3])]
    apart = adapter.hear(clips, PROMPT)
    monkeypatch.setattr(adapter, "batches", lambda waveforms: [list(range(len(waveforms)))])
    assert np.abs(adapter.hear(clips, PROMPT) - apart).max() > 1e-2


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("prefix", ["thinker.", ""])
def test_a_thinker_by_itself(
    checkpoints: dict[str, Path], load: Callable[[str], Any], tmp_path: Path, name: str, prefix: str
) -> None:
    import safetensors.torch

    folder = shutil.copytree(checkpoints[name], tmp_path / "thinker")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config["thinker_config"]))
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    kept = {f"{prefix}{key.removeprefix('thinker.')}": t for key, t in tensors.items() if key.startswith("thinker.")}
    assert 0 < len(kept) < len(tensors)
    safetensors.torch.save_file(kept, folder / "model.safetensors", {"format": "pt"})
    assert config["thinker_config"]["model_type"] in find_adapter(name).MODEL_TYPES
    alone = find_adapter(name).load(Loading(folder=folder))
    clips = [Clip(waveform=WAVEFORMS[0], seconds=1.0)]
    np.testing.assert_array_equal(alone.hear(clips, PROMPT), load(name).hear(clips, PROMPT))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_template_without_sound_is_caught(checkpoints: dict[str, Path], tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(checkpoints[name], tmp_path / "mute")
    for older in folder.glob("chat_template.*"):
        older.unlink()
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'][1]['text'] }}")
    with pytest.raises(AdapterError, match="has 0 places for the sound"):
        find_adapter(name).load(Loading(folder=folder)).build_inputs(WAVEFORMS[:1], PROMPT)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_tokenizer_of_another_model_is_caught(checkpoints: dict[str, Path], tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(checkpoints[name], tmp_path / "foreign")
    tiny_models.byte_tokenizer(("<|endoftext|>", "<|im_end|>")).save_pretrained(folder)
    with pytest.raises(AdapterError, match="the tokenizer has 258"):
        find_adapter(name).load(Loading(folder=folder)).build_inputs(WAVEFORMS[:1], PROMPT)
