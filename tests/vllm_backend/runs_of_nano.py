"""The command line asked about `nano`, in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def command(out: Path, *options: object) -> list[str]:
    asked = ["respond", "--model", "nano", "--mode", "open", "--out", out, "--quiet", *options]
    return [sys.executable, "-m", "serxbench", *map(str, asked)]


def respond(out: Path, *options: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(out, *options), env=environment(), capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SERXBENCH_")}
    return {**kept, "HF_HUB_OFFLINE": "1"}


def read(out: Path) -> dict[str, dict[str, Any]]:
    lines = (out / "responses.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


def items_a_second(out: Path) -> float:
    """From the first batch asked for to the last, after the model is loaded and has shown that it hears."""
    rows = map(json.loads, (out / "timings.jsonl").read_text(encoding="utf-8").splitlines())
    batches = [row for row in rows if row["event"] == "batch"]
    seconds = sum(row["seconds_waiting"] + row["seconds_generating"] for row in batches)
    return float(sum(row["n"] for row in batches) / seconds)
