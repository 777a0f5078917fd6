"""Bugs to plant in an adapter, for tests of the checks that have to find them.

A method is named by its path under the adapter: `build_inputs`, `_model.generate`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def deafen(monkeypatch: pytest.MonkeyPatch, adapter: Any, method: str = "build_inputs") -> None:
    """The sound is replaced by as much silence on its way into the model: everything runs, and nothing is heard.

    method: the one whose first argument is the waveforms, or one of them.
    """
    holder, name = _find(adapter, method)
    whole = getattr(holder, name)

    def deaf(sound: Any, *others: Any, **named: Any) -> Any:
        one = isinstance(sound, np.ndarray) and sound.ndim == 1
        return whole(np.zeros_like(sound) if one else [np.zeros_like(each) for each in sound], *others, **named)

    monkeypatch.setattr(holder, name, deaf)


def limit_memory(monkeypatch: pytest.MonkeyPatch, adapter: Any, method: str, largest: int) -> None:
    """Whatever has more than `largest` clips to answer at once raises what torch raises when a GPU is full.

    method: the one that runs out of memory.
    """
    import torch

    asked: list[int] = []
    holder, name = _find(adapter, method)
    compute, generate = getattr(holder, name), adapter.generate

    def count(ids: Any, *others: Any, **named: Any) -> Any:
        asked.append(len(ids))
        return generate(ids, *others, **named)

    def fill(*given: Any, **named: Any) -> Any:
        if asked[-1] > largest:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate more than there is.")
        return compute(*given, **named)

    monkeypatch.setattr(adapter, "generate", count)
    monkeypatch.setattr(holder, name, fill)


def _find(adapter: Any, method: str) -> tuple[Any, str]:
    *path, name = method.split(".")
    for step in path:
        adapter = getattr(adapter, step)
    return adapter, name
