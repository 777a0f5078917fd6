"""Checkpoints of a training: a folder each, whole or not there, without a pickle.

checkpoints/step-00000050/   state.json, weights.safetensors, optimizer.safetensors
checkpoints/best-00000040/   weights.safetensors, of the step with the lowest validation loss
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from serxbench.errors import RunError
from serxbench.sft.folders import write_folder

FOLDER = "checkpoints"
STATE = "state.json"
WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"


@dataclass(frozen=True, kw_only=True)
class State:
    """How far a training is. step: updates done. evaluations: (step, validation loss), in order."""

    step: int = 0
    evaluations: tuple[tuple[int, float], ...] = ()

    @property
    def best(self) -> tuple[int, float] | None:
        """The evaluation with the lowest loss, the earliest of equal ones; None before the first."""
        return min(self.evaluations, key=lambda each: (each[1], each[0])) if self.evaluations else None

    def is_out_of_patience(self, patience: int) -> bool:
        """Whether the last `patience` evaluations were all no better than an earlier one."""
        best = self.best
        return best is not None and sum(step > best[0] for step, _ in self.evaluations) >= patience


class Checkpoints:
    """The checkpoints below the folder of one training."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    def save(self, state: State, trainable: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> None:
        """Writes a checkpoint, then deletes the older ones and every `best` that is no longer the best."""

        def write(folder: Path) -> None:
            save_file(_plain(trainable), folder / WEIGHTS)
            save_file(_flatten(trainable, optimizer), folder / OPTIMIZER)
            (folder / STATE).write_text(json.dumps(dataclasses.asdict(state)), encoding="utf-8")

        name = f"step-{state.step:08}"
        write_folder(self._folder / name, write)
        kept = {name, f"best-{state.best[0]:08}" if state.best else ""}
        for path in self._folder.iterdir():
            if path.name not in kept:
                shutil.rmtree(path)

    def save_best(self, step: int, trainable: Mapping[str, Any]) -> None:
        """Writes the weights of the step that is the best so far."""
        write_folder(self._folder / f"best-{step:08}", lambda folder: save_file(_plain(trainable), folder / WEIGHTS))

    def latest(self) -> State | None:
        """The state of the latest checkpoint, None if there is none. Raises RunError."""
        folder = self._latest()
        if folder is None:
            return None
        try:
            row = json.loads((folder / STATE).read_text(encoding="utf-8"))
            return State(step=row["step"], evaluations=tuple((int(s), float(loss)) for s, loss in row["evaluations"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{folder}: is a damaged checkpoint ({error}); delete it to go on from nothing") from error

    def load(self, trainable: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> None:
        """Gives weights and optimizer what the latest checkpoint holds. Raises RunError."""
        folder = self._latest()
        assert folder is not None
        _assign(folder, trainable)
        _unflatten(_read(folder / OPTIMIZER), trainable, optimizer)

    def load_best(self, state: State, trainable: Mapping[str, Any]) -> None:
        """Gives the weights what they were at the best evaluation. Raises RunError."""
        assert state.best is not None
        _assign(self._folder / f"best-{state.best[0]:08}", trainable)

    def _latest(self) -> Path | None:
        return max(self._folder.glob("step-*[0-9]"), default=None)


def _plain(trainable: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().cpu().contiguous() for name, parameter in trainable.items()}


def _flatten(trainable: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's tensors by `kind:parameter`."""
    return {
        f"{kind}:{name}": value.detach().cpu().contiguous()
        for name, parameter in trainable.items()
        for kind, value in optimizer.state.get(parameter, {}).items()
    }


def _unflatten(
    tensors: Mapping[str, torch.Tensor], trainable: Mapping[str, Any], optimizer: torch.optim.Optimizer
) -> None:
    for key, value in tensors.items():
        kind, _, name = key.partition(":")
        parameter = trainable[name]
        # AdamW counts its steps on the CPU.
        optimizer.state[parameter][kind] = value if kind == "step" else value.to(parameter.device)


def _assign(folder: Path, trainable: Mapping[str, Any]) -> None:
    tensors = _read(folder / WEIGHTS)
    if tensors.keys() != trainable.keys():
        raise RunError(f"{folder}: holds other weights than those that learn here; delete the folder of this training")
    with torch.no_grad():
        for name, parameter in trainable.items():
            parameter.copy_(tensors[name])


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{path}: cannot be read ({error}); delete {path.parent.parent} to train from nothing"
        ) from error
