"""The curves of a training: `losses.jsonl`, one line a step, and TensorBoard's event files where that is installed.

The lines hold no time and no path, so that those of a resumed training are those of an unbroken one, byte for byte.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from serxbench.progress import Progress
from serxbench.runs import write_atomically

LOSSES = "losses.jsonl"
EVENTS = "events"


class Curves:
    """Writes the curves of one training; what is beyond `step` is cut off, for it will be computed again."""

    def __init__(self, folder: Path, step: int, progress: Progress) -> None:
        self._path = folder / LOSSES
        kept = [row for row in read_losses(self._path) if row["step"] <= step]
        write_atomically(self._path, "".join(json.dumps(row) + "\n" for row in kept))
        self._events = _open_events(folder / EVENTS, step, progress)

    def note(self, step: int, **values: float) -> None:
        """Adds what was measured after so many steps."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Writes what is still in memory."""
        if self._events is not None:
            self._events.close()


def read_losses(path: Path) -> list[dict[str, Any]]:
    """The lines of a losses.jsonl; a last one that a killed process left torn is no line."""
    if not path.is_file():
        return []
    raw = path.read_bytes()
    return [json.loads(line) for line in raw[: raw.rfind(b"\n") + 1].splitlines()]


def _open_events(folder: Path, step: int, progress: Progress) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        progress.say(f"no TensorBoard here (pip install 'serxbench[sft]'); the curves are in {LOSSES} only")
        return None
    # A viewer drops what an earlier process wrote beyond this step.
    return SummaryWriter(str(folder), purge_step=step + 1)
