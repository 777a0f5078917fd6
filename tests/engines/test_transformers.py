"""The engine: a fixed plan, one failure stays one, a broken model stops the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from serxbench.audio import Clip
from serxbench.engines import UNREADABLE, plan_batches
from serxbench.engines.transformers import generate_batches, let_memory_grow
from serxbench.errors import AdapterError
from serxbench.records import Decoding, Prompt, Response, Utterance

REQUEST = (Prompt(name="p", text="?", sha256="0"), Decoding())


class Echo:
    """An adapter that answers with the length of its batch, and raises for the ids it is told to."""

    max_seconds, min_seconds = 30.0, 0.1

    def __init__(self, raises_for: Sequence[str] = (), largest: int = 99) -> None:
        self.raises_for, self.largest = set(raises_for), largest
        self.batches: list[list[str]] = []

    def generate(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding) -> list[Response]:
        if self.raises_for & set(ids):
            raise RuntimeError("this clip makes me ill\nand a second line")
        if len(ids) > self.largest:
            raise MemoryError("out of memory")
        self.batches.append(list(ids))
        return [Response(id=id, text=str(decoding.seed), stop="end") for id in ids]


@pytest.fixture
def utterances(write_clip: Callable[..., Path], tmp_path: Path) -> list[Utterance]:
    seconds = (0.9, 0.2, 0.5, 0.5, 0.3, 0.7)
    clips = [Utterance(id=f"u{n}", audio=write_clip(f"u{n}.wav", seconds=each)) for n, each in enumerate(seconds)]
    return [*clips, Utterance(id="gone", audio=tmp_path / "gone.wav"), Utterance(id="labels-only")]


def test_the_plan_goes_by_length_and_sets_the_unreadable_apart(utterances: list[Utterance]) -> None:
    plan = plan_batches(utterances, batch_size=4)
    assert plan.batches == {UNREADABLE: (6, 7), 1: (1, 4, 2, 3), 2: (5, 0)}
    assert plan.unreadable == {6: "gone.wav: no such file", 7: "the corpus lists no audio file for it"}
    assert plan.sha256() == plan_batches(utterances, batch_size=4).sha256()
    assert plan.sha256() != plan_batches(utterances, batch_size=3).sha256()


def test_every_utterance_gets_one_response(utterances: list[Utterance]) -> None:
    adapter = Echo()
    plan = plan_batches(utterances, batch_size=4)
    batches = list(generate_batches(adapter, utterances, plan, frozenset(), REQUEST))
    assert sorted(r.id for batch in batches for r in batch.responses) == sorted(u.id for u in utterances)
    assert adapter.batches == [["u5", "u0"], ["u1", "u4", "u2", "u3"]], "the longest clips come first"


def test_a_resumed_run_computes_the_same_batches(utterances: list[Utterance]) -> None:
    plan = plan_batches(utterances, batch_size=2)
    whole = {b.number: b.responses for b in generate_batches(Echo(), utterances, plan, frozenset(), REQUEST)}
    for done in ({0}, {0, 1}, {2}, {0, 1, 3}):
        rest = {b.number: b.responses for b in generate_batches(Echo(), utterances, plan, frozenset(done), REQUEST)}
        assert rest == {number: responses for number, responses in whole.items() if number not in done}


def test_a_clip_that_makes_the_model_fail_fails_alone(utterances: list[Utterance]) -> None:
    plan = plan_batches(utterances, batch_size=4)
    batches = list(generate_batches(Echo(raises_for=["u2"]), utterances, plan, frozenset(), REQUEST))
    failed = [r for batch in batches for r in batch.responses if r.stop == "error" and batch.number != UNREADABLE]
    assert [(r.id, r.error, r.audio_seconds) for r in failed] == [("u2", "RuntimeError: this clip makes me ill", 0.5)]


def test_a_batch_that_does_not_fit_is_halved(utterances: list[Utterance]) -> None:
    adapter = Echo(largest=2)
    plan = plan_batches(utterances, batch_size=4)
    first = next(b for b in generate_batches(adapter, utterances, plan, frozenset(), REQUEST) if b.number == 1)
    assert adapter.batches == [["u5", "u0"], ["u1", "u4"], ["u2", "u3"]]
    assert [r.id for r in first.responses] == ["u1", "u4", "u2", "u3"]
    assert first.halved == ("batch of 4 failed (MemoryError: out of memory) and was halved",)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_a_model_that_fails_on_everything_stops_the_run(write_clip: Callable[..., Path], batch_size: int) -> None:
    clips = [Utterance(id=f"u{n}", audio=write_clip(f"u{n}.wav", seconds=0.2)) for n in range(9)]
    plan = plan_batches(clips, batch_size)
    broken = Echo(raises_for=[clip.id for clip in clips])
    with pytest.raises(AdapterError, match=r"failed on each of its first [89] clips.*this clip makes me ill"):
        list(generate_batches(broken, clips, plan, frozenset(), REQUEST))


def test_samples_cannot_be_read_though_the_header_can(write_clip: Callable[..., Path]) -> None:
    cut = write_clip("cut.flac", seconds=2.0)
    cut.write_bytes(cut.read_bytes()[:4000])
    utterances = [Utterance(id="cut", audio=cut), Utterance(id="fine", audio=write_clip("fine.wav"))]
    plan = plan_batches(utterances, batch_size=2)
    assert not plan.unreadable
    (batch,) = generate_batches(Echo(), utterances, plan, frozenset(), REQUEST)
    by_id = {response.id: response for response in batch.responses}
    assert by_id["fine"].stop == "end"
    assert by_id["cut"].error is not None
    assert "cannot be decoded" in by_id["cut"].error


@pytest.mark.parametrize("said", [None, "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_the_allocator_is_told_unless_the_user_has_told_it(monkeypatch: pytest.MonkeyPatch, said: str | None) -> None:
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.setenv(name, "mine")  # so that it is as before afterwards
        if name != said:
            monkeypatch.delenv(name)
    let_memory_grow()
    found = {os.environ.get(name) for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")}
    assert found == {None, "mine" if said else "expandable_segments:True"}
