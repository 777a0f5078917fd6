"""Attention, cache and kept features: the same answers, and a clear word where a choice is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import qwen2_audio
from transformers import WhisperFeatureExtractor

from serxbench.adapters import Loading
from serxbench.adapters._feature_cache import FeatureCache, RememberingExtractor
from serxbench.adapters._tuning import Attention, Tuning, check_tuning
from serxbench.adapters.qwen2_audio import load
from serxbench.audio import Clip
from serxbench.engines._transformers_options import read_options
from serxbench.errors import AdapterError, UsageError
from serxbench.records import Decoding, Prompt, Response

PROMPT = Prompt(name="p", text="What emotion?", sha256="0")
NOISE = np.random.default_rng(0)


def noise(*samples: int) -> list[Any]:
    return [NOISE.normal(scale=0.1, size=n).astype(np.float32) for n in samples]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return qwen2_audio(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def ask(folder: Path) -> Callable[..., list[Response]]:
    clips = [Clip(waveform=each, seconds=len(each) / 16_000) for each in noise(8_000, 20_000, 9_000)]

    def answer(**settings: Any) -> list[Response]:
        adapter = load(Loading(folder=folder))
        adapter.tune(Tuning(**settings))
        return adapter.generate(["a", "b", "c"], clips, PROMPT, Decoding(max_new_tokens=12))

    return answer


@pytest.mark.parametrize("settings", [{"cache": "static"}, {"attention": "eager"}])
def test_another_way_to_compute_gives_the_same_answers(
    ask: Callable[..., list[Response]], settings: dict[str, Any]
) -> None:
    assert ask(**settings) == ask()


def test_an_attention_that_is_not_there(folder: Path) -> None:
    with pytest.raises(AdapterError, match="pip install flash-attn"):
        check_tuning(Tuning(attention="flash_attention_2"))
    unknown: Any = "sparkling"
    with pytest.raises(AdapterError, match="attention=sparkling cannot be had here"):
        load(Loading(folder=folder)).tune(Tuning(attention=unknown))


def test_all_parts_of_the_model_change_their_attention(folder: Path) -> None:
    adapter, wanted = load(Loading(folder=folder)), "eager"
    attention: Attention = "eager"
    adapter.tune(Tuning(attention=attention))
    model = adapter._model
    assert model.config.audio_config._attn_implementation == model.config.text_config._attn_implementation == wanted


def test_kept_features_give_the_answers_of_fresh_ones(ask: Callable[..., list[Response]], tmp_path: Path) -> None:
    fresh = ask()
    for _ in range(2):
        assert ask(features=tmp_path / "kept", feature_bytes=2**30) == fresh
    assert len(list((tmp_path / "kept").glob("*/*.npz"))) == 1, "the second time it was read"


class Counting(WhisperFeatureExtractor):
    """Counts its calls."""

    n_calls = 0

    def __call__(self, *given: Any, **named: Any) -> Any:
        self.n_calls += 1
        return super().__call__(*given, **named)


def extract(extractor: Any, waveforms: Any, **settings: Any) -> Any:
    return extractor(waveforms, sampling_rate=16_000, return_tensors="pt", return_attention_mask=True, **settings)


def test_a_hit_is_the_call_bit_by_bit(tmp_path: Path) -> None:
    plain = Counting(feature_size=16, chunk_length=2)
    keeping = RememberingExtractor(plain, FeatureCache(tmp_path, 2**30))
    calls: list[tuple[Any, dict[str, Any]]] = [
        (noise(4_000, 9_000), {}),
        (noise(4_000), {"padding": True}),
        (noise(4_000)[0], {}),
        ([np.zeros(5_000, np.float32)], {}),
        (noise(40_000), {"padding": True, "truncation": False}),
    ]
    for waveforms, settings in calls:
        wanted = extract(plain, waveforms, **settings)
        before = plain.n_calls
        for _ in range(2):
            found = extract(keeping, waveforms, **settings)
            assert set(found) == set(wanted)
            for name in wanted:
                assert found[name].dtype == wanted[name].dtype
                assert found[name].tolist() == wanted[name].tolist()
        assert plain.n_calls == before + 1
    assert keeping.n_samples == plain.n_samples


def test_another_call_is_another_key(tmp_path: Path) -> None:
    one, two = Counting(feature_size=16, chunk_length=2), Counting(feature_size=16, chunk_length=3)
    cache = FeatureCache(tmp_path, 2**30)
    first, second = noise(4_000, 5_000)
    extract(RememberingExtractor(one, cache), [first, second])
    for waveforms, settings in (([second, first], {}), ([first], {}), ([first, second], {"padding": True})):
        extract(RememberingExtractor(one, cache), waveforms, **settings)
    assert one.n_calls == 4
    extract(RememberingExtractor(two, cache), [first, second])
    assert two.n_calls == 1


def test_a_full_or_damaged_cache_costs_time_alone(tmp_path: Path) -> None:
    extractor = Counting(feature_size=16, chunk_length=2)
    full = RememberingExtractor(extractor, FeatureCache(tmp_path / "full", 10))
    (clip,) = noise(4_000)
    wanted = extract(extractor, [clip])["input_features"].tolist()
    assert extract(full, [clip])["input_features"].tolist() == wanted
    assert not list((tmp_path / "full").glob("*/*"))
    kept = RememberingExtractor(extractor, FeatureCache(tmp_path / "kept", 2**30))
    extract(kept, [clip])
    (file,) = (tmp_path / "kept").glob("*/*")
    for damaged in (b"", b"PK nothing", file.read_bytes()[:-40]):
        file.write_bytes(damaged)
        assert extract(kept, [clip])["input_features"].tolist() == wanted


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AdapterError, match="file: cannot hold features"):
        FeatureCache(tmp_path / "file", 1)


def test_options() -> None:
    assert read_options({}).tuning() is None
    assert read_options({"cache": "static", "feature_cache": "/kept"}).describe() == {"cache": "static"}
    tuning = read_options({"feature_cache": "/kept", "feature_cache_gib": 2}).tuning()
    assert tuning == Tuning(features=Path("/kept"), feature_bytes=2 * 2**30)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"attenton": "eager"}, "has no option 'attenton'; there are: attention, cache, feature_cache"),
        ({"attention": "fast"}, "wanted one of sdpa, flash_attention_2, eager"),
        ({"cache": 3}, "wanted one of dynamic, static"),
        ({"feature_cache": 3}, "wanted a folder"),
        ({"feature_cache_gib": True}, "wanted a positive number"),
        ({"feature_cache_gib": -1}, "wanted a positive number"),
    ],
)
def test_options_that_are_none(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_options(given)
