"""Adapters that misbehave inside a Ray worker, importable there by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from serxbench.audio import Clip
from serxbench.errors import AdapterError
from serxbench.records import Decoding, Prompt, Response


@dataclass
class Behaviour:
    """What an adapter does: id → what happens when it comes. A marker file is made when something happens once."""

    raises_for: set[str] = field(default_factory=set)
    dies_at: set[str] = field(default_factory=set)
    sleeps_at: dict[str, float] = field(default_factory=dict)
    refuses_at: set[str] = field(default_factory=set)
    once: Path | None = None
    unloadable: str | None = None
    seconds: float = 0.0


class Misbehaving:
    """Answers with the ids of its batch and the seed."""

    max_seconds, min_seconds = 30.0, 0.1

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    def generate(self, ids: Sequence[str], clips: Sequence[Clip], prompt: Prompt, decoding: Decoding) -> list[Response]:
        behaviour = self._behaviour
        time.sleep(behaviour.seconds)
        if behaviour.dies_at & set(ids) and self._first_time():
            os.kill(os.getpid(), signal.SIGKILL)
        for id in ids:
            if id in behaviour.sleeps_at and self._first_time():
                time.sleep(behaviour.sleeps_at[id])
        if behaviour.refuses_at & set(ids):
            raise AdapterError("the inputs are not what they should be")
        if behaviour.raises_for & set(ids):
            raise RuntimeError("this clip makes me ill")
        return [Response(id=id, text=f"{','.join(ids)} {decoding.seed}", stop="end") for id in ids]

    def hear(self, clips: Sequence[Clip], prompt: Prompt) -> None:
        return None

    def _first_time(self) -> bool:
        marker = self._behaviour.once
        if marker is None:
            return True
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def load(behaviour: Behaviour) -> Misbehaving:
    if behaviour.unloadable:
        raise AdapterError(behaviour.unloadable)
    return Misbehaving(behaviour)
