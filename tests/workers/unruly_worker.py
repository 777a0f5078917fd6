"""A worker's model that answers with what it was given, and misbehaves as its card's settings say.

Run by server.py in a process of its own; not a test. `KEY_once` happens the first time only: a file remembers it.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


class AdapterError(Exception):
    pass


def load(request: dict[str, Any]) -> Unruly:
    settings = request["loading"]["settings"]
    if settings.get("noise"):
        make_noise()
    if settings.get("crash_at_load"):
        print("\n".join(f"stderr line {n}" for n in range(30)), file=sys.stderr)
        os._exit(7)
    if settings.get("refuse"):
        raise AdapterError("these weights are not mine")
    return Unruly(settings, request["trust_remote_code"])


def make_noise() -> None:
    print('{"type": "answers", "number": 1, "answers": []}')
    print("a progress bar without a newline", end="", flush=True)
    os.write(1, b"printed by C\n")
    subprocess.run(["echo", "printed by a child"], check=True)
    sys.__stdout__.write("printed past sys.stdout\n")
    assert sys.stdin.read() == "", "a library that reads stdin takes no request"


class Unruly:
    max_seconds, min_seconds = 2.0, 0.1

    def __init__(self, settings: dict[str, Any], trusted: bool) -> None:
        self.settings, self.trusted = settings, trusted

    def happens(self, what: str, ids: list[str]) -> bool:
        if self.settings.get(what) in ids:
            return True
        if self.settings.get(f"{what}_once") not in ids:
            return False
        marker = Path(self.settings["marker"])
        if marker.exists():
            return False
        marker.touch()
        return True

    def answer(self, clips: list[Any], prompt: dict[str, Any], decoding: dict[str, Any]) -> list[dict[str, Any]]:
        ids = [clip.id for clip in clips]
        if self.settings.get("noise"):
            make_noise()
        if self.happens("die", ids):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.happens("hang", ids):
            child = subprocess.Popen(["sleep", "600"])
            Path(self.settings["child"]).write_text(str(child.pid))
            time.sleep(600)
        if self.happens("fatal", ids):
            raise RuntimeError("CUDA error: device-side assert triggered")
        if self.happens("raise", ids):
            raise MemoryError("out of memory")
        time.sleep(self.settings.get("seconds", 0))
        return [
            {
                "text": f"{clip.id} {hashlib.sha256(clip.waveform.tobytes()).hexdigest()[:16]} {prompt['text']} "
                f"{decoding['seed']} {clip.note} \ud800",
                "stop": self.settings.get("stop", "end"),
            }
            for clip in clips
        ]

    def hear(self, clips: list[Any], prompt: dict[str, Any]) -> Any:
        if self.settings.get("deaf"):
            return None
        return np.stack([clip.waveform[:3] for clip in clips]).astype(np.float64)
