"""A corpus of short clips, and an engine behind a server asked about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from serxbench.adapters import Loading
from serxbench.audio import read_audio
from serxbench.engines import Asked, Batch, Starting
from serxbench.llm._wav import encode_wav
from serxbench.records import Decoding, Prompt, Response, Utterance

PROMPT = Prompt(name="open", text="What emotion?", sha256="0")
CLOSED = Prompt(name="closed", text="A. Angry\nB. Sad", sha256="0", options=(("A", "Angry"), ("B", "Sad")))


def make_corpus(write_clip: Callable[..., Path], n: int, n_clips: int = 40) -> list[Utterance]:
    """`n` utterances; the clips repeat after `n_clips`."""
    clips = [write_clip(f"{k:03}.wav", seconds=0.15 + 0.01 * (k % 5)) for k in range(min(n, n_clips))]
    return [Utterance(id=f"u{k:05}", audio=clips[k % len(clips)]) for k in range(n)]


def wav_of(utterance: Utterance) -> bytes:
    """The file that a server gets for it."""
    assert utterance.audio is not None
    return encode_wav(read_audio(utterance.audio).waveform)


def starting(options: Mapping[str, Any]) -> Starting:
    return Starting(
        name="a-card",
        adapter="hosted",
        repository="owner/name",
        loading=Loading(folder=Path()),
        load=lambda: NotImplemented,
        batch_size=1,
        options=options,
    )


def ask(
    backend: ModuleType, options: Mapping[str, Any], utterances: list[Utterance], **changes: Any
) -> tuple[list[Response], list[Mapping[str, Any]]]:
    """The responses of a run in the order in which they came, and what the engine told beside them."""
    notes: list[Mapping[str, Any]] = []
    batches = list(iterate(backend, options, utterances, notes, **changes))
    assert all(len(batch.responses) == 1 or batch.number == 0 for batch in batches)
    return [response for batch in batches for response in batch.responses], notes


def iterate(
    backend: ModuleType,
    options: Mapping[str, Any],
    utterances: list[Utterance],
    notes: list[Mapping[str, Any]],
    **changes: Any,
) -> Any:
    """The batches of a run."""
    engine = backend.start(starting(options))
    engine.describe()
    given: dict[str, Any] = {
        "utterances": utterances,
        "plan": engine.plan(utterances),
        "done": frozenset(),
        "prompt": PROMPT,
        "decoding": Decoding(max_new_tokens=16),
        "note": notes.append,
    }
    batches: Any = engine.answer(Asked(**{**given, **changes}))
    return batches


def total(batches: list[Batch]) -> int:
    return sum(len(batch.responses) for batch in batches)
