"""The proof that a model hears: what passes, what is stopped, and what says nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from serxbench.audio import SAMPLE_RATE, Clip
from serxbench.engines._hearing import check_hearing
from serxbench.errors import AdapterError
from serxbench.records import Decoding, Prompt, Response

PROMPT = Prompt(name="p", text="?", sha256="0")


class Ear:
    """An adapter whose numbers are made from each waveform by a function."""

    max_seconds, min_seconds = 30.0, 0.1

    def __init__(self, numbers: Callable[[NDArray[np.float32]], list[float]] | None) -> None:
        self._numbers = numbers

    def generate(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding) -> list[Response]:
        raise AssertionError("nothing is generated")

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> NDArray[np.float32] | None:
        if self._numbers is None:
            return None
        return np.array([self._numbers(clip.waveform) for clip in clips], dtype=np.float32)


def clip(seconds: float, loudness: float, seed: int = 0) -> Clip:
    noise = np.random.default_rng(seed).normal(scale=loudness, size=round(seconds * SAMPLE_RATE))
    return Clip(waveform=noise.astype(np.float32), seconds=seconds)


CLIPS = [clip(0.5, 0.1), clip(1.0, 0.2, seed=1), clip(0.7, 0.05, seed=2)]


def loudness(waveform: NDArray[np.float32]) -> list[float]:
    return [0.0, 10.0, float(np.abs(waveform).mean())]


def test_a_model_that_hears_passes_with_figures() -> None:
    found = check_hearing(Ear(loudness), CLIPS, PROMPT)
    assert found is not None
    assert found.n_clips == 3
    # The softest clip has a mean of 0.05 * sqrt(2 / pi); the numbers spread over 10.
    assert found.moved_by_silence == pytest.approx(0.05 * np.sqrt(2 / np.pi) / 10, rel=0.05)
    assert 0 < found.moved_by_another < 0.02


def test_a_deaf_model_is_stopped() -> None:
    with pytest.raises(AdapterError, match=r"does not hear: with silence in place of 3 of 3 clips"):
        check_hearing(Ear(lambda waveform: [1.0, 2.0, len(waveform) / 1000]), CLIPS, PROMPT)


def test_a_model_that_hears_only_that_there_is_sound_is_stopped() -> None:
    with pytest.raises(AdapterError, match="another utterance's sound in place of 3 of 3 clips"):
        check_hearing(Ear(lambda waveform: [1.0, float(np.abs(waveform).max() > 0)]), CLIPS, PROMPT)


def test_a_model_that_is_deaf_to_one_clip_is_stopped() -> None:
    def deaf_to_the_long(waveform: NDArray[np.float32]) -> list[float]:
        return loudness(waveform) if len(waveform) < SAMPLE_RATE else [0.0, 10.0, 1.0]

    with pytest.raises(AdapterError, match="1 of 3 clips"):
        check_hearing(Ear(deaf_to_the_long), CLIPS, PROMPT)


def test_infinite_logits_are_passed_over() -> None:
    def masked(waveform: NDArray[np.float32]) -> list[float]:
        return [*loudness(waveform), float("-inf")]

    assert check_hearing(Ear(masked), CLIPS, PROMPT) is not None


def test_what_cannot_be_heard_proves_nothing() -> None:
    silent = Clip(waveform=np.zeros(SAMPLE_RATE, np.float32), seconds=1.0)
    assert check_hearing(Ear(loudness), [silent, clip(0.01, 0.1)], PROMPT) is None
    assert check_hearing(Ear(None), CLIPS, PROMPT) is None
    found = check_hearing(Ear(loudness), [silent, *CLIPS], PROMPT)
    assert found is not None
    assert found.n_clips == 3


def test_equal_clips_are_exchanged_for_something_else() -> None:
    def first_sample(waveform: NDArray[np.float32]) -> list[float]:
        return [0.0, 10.0, float(waveform[0])]

    assert check_hearing(Ear(first_sample), [CLIPS[0]] * 3, PROMPT) is not None
    assert check_hearing(Ear(first_sample), CLIPS[:1], PROMPT) is not None
