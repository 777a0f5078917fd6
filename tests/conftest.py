"""Fixtures that many tests share: a tiny checkpoint, clips, a small corpus, and the command line."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models

#: Development data that is not part of the project; tests that need it skip without it.
# A shell has what it starts in the background ignore this signal, and that is handed down to what is interrupted here.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared" / "data"

#: vLLM lives in an environment of its own: `make test-vllm` makes it and runs these.
collect_ignore_glob = [] if importlib.util.find_spec("vllm") else ["vllm_backend/*"]

Serxbench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.qwen2_audio(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture
def write_clip(tmp_path: Path) -> Callable[..., Path]:
    """Writes a clip of noise and tones: name, seconds, and what soundfile.write takes."""

    def write(name: str, seconds: float = 0.5, rate: int = 16_000, channels: int = 1, **settings: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = int.from_bytes(name.encode(), "little") % 2**32
        noise = np.random.default_rng(seed).normal(scale=0.1, size=(round(seconds * rate), channels))
        tone = 0.3 * np.sin(2 * np.pi * (150 + seed % 400) * np.arange(len(noise)) / rate)
        soundfile.write(path, noise + tone[:, None], rate, **settings)
        return path

    return write


@pytest.fixture
def small_corpus(tmp_path: Path, write_clip: Callable[..., Path]) -> Path:
    """A manifest of twelve clips of different lengths, three voices, five votes each."""
    labels = ["Angry", "Sad", "Happy", "Neutral"]
    rows = []
    for n in range(12):
        clip = write_clip(f"clips/u{n:02}.wav", seconds=0.3 + 0.13 * (n * 7 % 12))
        votes = [labels[n % 4]] * 3 + [labels[(n + 1) % 4], labels[(n + n // 4) % 4]]
        rows.append(
            {
                "id": f"u{n:02}",
                "audio": str(clip.relative_to(tmp_path)),
                "speaker": f"s{n % 3}",
                "transcript": f"sentence {n}",
                "votes": [{"annotator": f"a{k}", "primary": vote} for k, vote in enumerate(votes)],
            }
        )
    return write_rows(tmp_path / "corpus.jsonl", rows)


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def serxbench(tmp_path: Path) -> Serxbench:
    """Runs the command line in a process of its own, in an empty folder, without this shell's settings."""

    def run(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SERXBENCH_")}
        return subprocess.run(
            [sys.executable, "-m", "serxbench", *map(str, arguments)],
            cwd=cwd or tmp_path,
            env={**kept, "HF_HUB_OFFLINE": "1", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run
