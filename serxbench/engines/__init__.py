"""Engines: how generation is executed. One module a backend, found by its name.

A module of this package holds

    def start(starting: Starting) -> Engine         nothing heavy happens before the first batch is asked for

An engine is told what is done already, and yields each further batch of its plan as soon as it is finished, in any
order; whoever asks writes them down. A batch is what is lost at most when the process dies.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol

from serxbench.adapters import Adapter, Loading
from serxbench.audio import probe_audio
from serxbench.errors import AudioError, UnknownName
from serxbench.records import Decoding, Prompt, Response, Utterance

#: Batch 0 of every plan holds the clips whose header cannot be read; no model sees them.
UNREADABLE = 0

_PROBING_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which utterances are computed together.

    batches: number → positions in the corpus. unreadable: position → why that clip is in batch 0.
    seconds: position → length of the clip.
    """

    batches: Mapping[int, tuple[int, ...]]
    unreadable: Mapping[int, str]
    seconds: Mapping[int, float]

    def sha256(self) -> str:
        """The hash of the plan; equal on every machine where the same files are readable."""
        return hashlib.sha256(json.dumps(sorted(self.batches.items())).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A finished batch: its responses, and how long it took.

    raised: what the model raised on single clips. halved: why the batch had to be computed in parts.
    """

    number: int
    responses: list[Response]
    seconds_waiting: float
    seconds_generating: float
    raised: tuple[str, ...] = ()
    halved: tuple[str, ...] = ()


def plan_batches(utterances: Sequence[Utterance], batch_size: int, *, by_length: bool = True) -> Plan:
    """The plan for a corpus: clips sorted by length, or in corpus order, and cut into batches. Reads headers only."""
    with ThreadPoolExecutor(_PROBING_THREADS) as pool:
        probed = list(pool.map(_seconds_or_reason, utterances))
    seconds = {n: found for n, found in enumerate(probed) if isinstance(found, float)}
    unreadable = {n: found for n, found in enumerate(probed) if isinstance(found, str)}
    order = sorted(seconds, key=lambda n: (seconds[n], n)) if by_length else list(seconds)
    batches = {UNREADABLE: tuple(unreadable)} if unreadable else {}
    for number, start in enumerate(range(0, len(order), batch_size), start=1):
        batches[number] = tuple(order[start : start + batch_size])
    return Plan(batches=batches, unreadable=unreadable, seconds=seconds)


def _seconds_or_reason(utterance: Utterance) -> float | str:
    if utterance.audio is None:
        return "the corpus lists no audio file for it"
    try:
        return probe_audio(utterance.audio).seconds
    except AudioError as error:
        return str(error)


def plan_singly(utterances: Sequence[Utterance]) -> Plan:
    """A plan for an engine that makes up its own batches as it goes: one utterance each, in corpus order."""
    return plan_batches(utterances, 1, by_length=False)


def failure(id: str, reason: str) -> Response:
    """The response of an utterance that has no answer."""
    return Response(id=id, stop="error", error=reason)


@dataclass(frozen=True, kw_only=True)
class Starting:
    """What a backend needs to begin.

    name, adapter, repository: of the card. loading: where the weights lie, device and number format; None where they
    are not on this machine. load: the adapter in this process, with its control run around it if it is one.
    options: what only this backend understands, as the command line or the card gave it.
    """

    name: str
    adapter: str
    repository: str
    loading: Loading
    load: Callable[[], Adapter]
    batch_size: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked, of which utterances, and what is done already.

    done: numbers of finished batches. silent: the model gets silence of each clip's length. transcripts: id → words
    that it gets in place of the sound; None in a run with sound. note: writes an event beside the run's timings.
    prompts: id → the prompt of that utterance, where each is asked in words of its own; `prompt` then stands for all.
    """

    utterances: Sequence[Utterance]
    plan: Plan
    done: frozenset[int]
    prompt: Prompt
    decoding: Decoding
    silent: bool = False
    transcripts: Mapping[str, str] | None = None
    note: Callable[[Mapping[str, Any]], None] = lambda event: None
    prompts: Mapping[str, Prompt] | None = None

    def prompt_of(self, id: str) -> Prompt:
        """What is asked about the utterance `id`."""
        return self.prompt if self.prompts is None else self.prompts[id]


class Engine(Protocol):
    """One backend, ready to answer."""

    def describe(self) -> dict[str, Any]:
        """What the manifest says of it: everything that may move an answer, nothing that has to be loaded first."""
        ...

    def plan(self, utterances: Sequence[Utterance]) -> Plan:
        """Which utterances are finished together, a function of the corpus alone."""
        ...

    def answer(self, asked: Asked) -> Iterator[Batch]:
        """The batches that are not done, as they are finished. Closing the iterator frees what the engine holds.

        Raises AdapterError if the model cannot be loaded or does not hear.
        """
        ...


def list_backends() -> list[str]:
    """The names of all backends."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def find_backend(name: str) -> ModuleType:
    """The module of a backend. Raises UnknownName."""
    if name not in list_backends():
        raise UnknownName("backend", name, list_backends())
    return importlib.import_module(f"{__name__}.{name}")
