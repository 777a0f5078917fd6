"""What runs in one of Ray's processes: a replica of the model behind the wrapped backend's own engine."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from serxbench.adapters import Adapter
from serxbench.engines import UNREADABLE, Asked, Batch, Engine, Starting, find_backend
from serxbench.errors import SerxbenchError
from serxbench.records import Utterance

#: So many of the clips that the driver could read are looked for on a worker's machine.
_CLIPS_LOOKED_FOR = 8

Event = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A worker can begin.

    description: what this process's engine says of itself. events: for the timings. keeps: the model is loaded, hears,
    and stays between shards; an engine that does not load it through the adapter does so anew for each shard.
    """

    description: Mapping[str, Any]
    events: tuple[Event, ...]
    keeps: bool


@dataclass(frozen=True, kw_only=True)
class Failed:
    """An error that the harness raises on purpose, as its message: not every error can be pickled."""

    message: str


class Worker:
    """One replica. Ray makes it an actor.

    folder: where the driver works, so that relative paths mean the same. threads: of torch on a CPU; None leaves it.
    """

    def __init__(self, backend: str, starting: Starting, folder: str, threads: int | None) -> None:
        self._backend, self._starting, self._threads = backend, starting, threads
        self._adapter: Adapter | None = None
        self._events: list[Event] = []
        self._noted: frozenset[str] = frozenset()
        self._asked: Asked | None = None
        self._engine: Engine | None = None
        with contextlib.suppress(OSError):
            os.chdir(folder)

    def place(self) -> tuple[str, int]:
        """The machine's name and the id of this process."""
        return socket.gethostname(), os.getpid()

    def prepare(self, asked: Asked) -> Ready | Failed:
        """Loads the model and has it prove that it hears."""
        if self._threads is not None:
            import torch

            torch.set_num_threads(self._threads)
        self._asked = replace(asked, note=self._events.append)
        try:
            starting = replace(self._starting, load=self._load)
            self._engine = find_backend(self._backend).start(starting)
            if (unreadable := _first_unreadable(asked)) is not None:
                return Failed(
                    message=f"{unreadable}: is not readable on {socket.gethostname()}, where a worker runs; the audio "
                    "must lie under the same path on every machine of the cluster"
                )
            # With every batch done there is nothing to compute, but an engine loads and checks its model all the same.
            for _ in self._engine.answer(replace(self._asked, done=frozenset(asked.plan.batches))):
                pass
        except SerxbenchError as error:
            return Failed(message=str(error))
        events = tuple(self._events)
        self._noted = frozenset(str(event.get("event")) for event in events)
        return Ready(description=self._engine.describe(), events=events, keeps=self._adapter is not None)

    def compute(self, numbers: Sequence[int], first: int | None) -> Iterator[Batch | Failed | Event]:
        """The batches `numbers` as they are finished, and what the engine notes beside them.

        first: a batch to compute before them and throw away. An engine that sees nothing but failures from its first
        clip on takes its model for broken; after a batch that is known to be answered it does not.
        """
        asked, engine = self._asked, self._engine
        assert asked is not None
        assert engine is not None
        order = numbers if first is None else (first, *numbers)
        plan = replace(asked.plan, batches={number: asked.plan.batches[number] for number in order})
        try:
            for batch in engine.answer(replace(asked, plan=plan, done=frozenset())):
                yield from self._take_events()
                if batch.number in numbers:
                    yield batch
        except SerxbenchError as error:
            yield Failed(message=str(error))

    def _load(self) -> Adapter:
        if self._adapter is None:
            self._adapter = self._starting.load()
            return self._adapter
        # Between two shards nothing is loaded again, and the model has proved that it hears.
        return _Proved(self._adapter)

    def _take_events(self) -> tuple[Event, ...]:
        """What the engine noted since the last time, without what it notes of every start."""
        events = tuple(event for event in self._events if event.get("event") not in self._noted)
        self._events.clear()
        return events


class _Proved:
    """An adapter that shows no numbers, so that it is not examined for every shard; otherwise as it is."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def hear(self, *_: object) -> None:
        """None: it was asked before."""


def _first_unreadable(asked: Asked) -> Path | None:
    """A clip that the driver could read and this machine cannot; None if there is none among a few."""
    planned = [n for number, batch in asked.plan.batches.items() if number != UNREADABLE for n in batch]
    step = max(1, len(planned) // _CLIPS_LOOKED_FOR)
    chosen: list[Utterance] = [asked.utterances[n] for n in planned[::step]]
    return next((u.audio for u in chosen if u.audio is not None and not os.access(u.audio, os.R_OK)), None)
