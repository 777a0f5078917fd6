"""What is made ready while the model computes: in order, in another thread, bounded, and without a trace in answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from serxbench.audio import Clip
from serxbench.engines import plan_batches
from serxbench.engines._ahead import BATCHES_AHEAD, prepare_ahead
from serxbench.engines.transformers import generate_batches
from serxbench.records import Decoding, Prompt, Response, Utterance
from serxbench.stages.controls import SilentAdapter

PROMPT = Prompt(name="p", text="?", sha256="0")
REQUEST = (PROMPT, Decoding())


@dataclass
class Preparing:
    """An adapter that prepares the levels of its clips, and answers with them. slow: seconds of `generate`."""

    prepares_ahead: bool = True
    fails_at: float | None = None
    slow: float = 0.0
    max_seconds: float = 30.0
    min_seconds: float = 0.1
    threads: list[str] = field(default_factory=list)
    given: list[bool] = field(default_factory=list)
    n_prepared: int = 0
    most_ahead: int = 0

    def prepare(self, clips: Sequence[Clip], prompt: Prompt) -> list[str]:
        self.threads.append(threading.current_thread().name)
        if self.fails_at is not None and any(abs(clip.seconds - self.fails_at) < 1e-6 for clip in clips):
            raise ValueError("no features of this")
        self.n_prepared += 1
        return [f"{clip.seconds:.1f} s at {clip.dbfs():.1f} dB" for clip in clips]

    def generate(
        self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding, prepared: Any = None
    ) -> list[Response]:
        self.given.append(prepared is not None)
        levels = self.prepare(clips, prompt) if prepared is None else prepared
        time.sleep(self.slow)
        self.most_ahead = max(self.most_ahead, self.n_prepared - len(self.given))
        return [Response(id=id, text=text, stop="end") for id, text in zip(ids, levels, strict=True)]


@pytest.fixture
def utterances(write_clip: Callable[..., Path]) -> list[Utterance]:
    return [Utterance(id=f"u{n}", audio=write_clip(f"u{n}.wav", seconds=0.2 + 0.1 * n)) for n in range(9)]


def texts(adapter: Any, utterances: list[Utterance], size: int = 2) -> dict[str, tuple[str | None, str | None]]:
    batches = generate_batches(adapter, utterances, plan_batches(utterances, size), frozenset(), REQUEST)
    return {each.id: (each.text, each.error) for batch in batches for each in batch.responses}


def test_answers_are_those_of_an_adapter_that_prepares_nothing_ahead(utterances: list[Utterance]) -> None:
    ahead, plain = Preparing(), Preparing(prepares_ahead=False)
    assert texts(ahead, utterances) == texts(plain, utterances)
    assert ahead.given == [True] * 5
    assert plain.given == [False] * 5
    assert all(name.startswith("prepare") for name in ahead.threads)
    assert not any(name.startswith("prepare") for name in plain.threads)


def test_no_more_batches_are_ahead_than_allowed(utterances: list[Utterance]) -> None:
    slow = Preparing(slow=0.05)
    texts(slow, utterances, size=1)
    assert 1 <= slow.most_ahead <= BATCHES_AHEAD


def test_what_cannot_be_prepared_fails_where_its_neighbours_are_spared(utterances: list[Utterance]) -> None:
    found = texts(Preparing(fails_at=0.5), utterances, size=3)
    assert {id for id, (_, error) in found.items() if error} == {"u3"}
    assert found["u3"] == (None, "ValueError: no features of this")
    assert found["u4"] == (texts(Preparing(), utterances)["u4"][0], None)


def test_silence_is_prepared_for_a_control_run(utterances: list[Utterance]) -> None:
    inner = Preparing()
    found = texts(SilentAdapter(inner), utterances)
    assert {text for text, _ in found.values()} == {f"{0.2 + 0.1 * n:.1f} s at -inf dB" for n in range(9)}
    assert inner.given == [True] * 5


def test_leaving_early_ends_the_thread(utterances: list[Utterance]) -> None:
    batches = prepare_ahead(Preparing(), [[u] for u in utterances], PROMPT, largest=1)
    assert next(batches).ids == ("u0",)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prepare")]
