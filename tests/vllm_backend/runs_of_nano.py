"""The command line asked about `nano`, in processes of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NANO = Path(__file__).parents[2] / "model_cards" / "nano"

#: The closed form of the first items, scored by the probabilities of its options.
LOGLIK = ("--mode", "closed", "--decode", "loglik", "--limit", 40)


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


def nano_that_answers_with_letters(folder: Path) -> Path:
    """A checkpoint in `folder`: nano, with the letters of the options as likely as what it would begin with.

    nano itself begins every answer with the transcript, so no letter is among its likeliest first tokens.
    """
    import torch
    from transformers import AutoTokenizer, Qwen2AudioForConditionalGeneration

    shutil.copytree(NANO, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = Qwen2AudioForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    first = tokenizer("<asr>", add_special_tokens=False).input_ids[0]
    letters = tokenizer.convert_tokens_to_ids(list("ABCDEFGHI"))
    weight = model.get_output_embeddings().weight
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for letter in letters:
            weight[letter] = weight[first] * (1 + 0.2 * torch.rand(weight.shape[1], generator=random))
    model.save_pretrained(folder)
    return folder


def check_same_shares(found: dict[str, dict[str, Any]], wanted: dict[str, dict[str, Any]]) -> None:
    """The same labels, and the same probabilities wherever all options were among the likeliest tokens."""
    assert len(found) == len(wanted) == 40
    assert {id: row["text"] for id, row in found.items()} == {id: row["text"] for id, row in wanted.items()}
    weighed = [id for id, row in found.items() if row["probabilities"] is not None]
    assert len(weighed) > 30
    for id in weighed:
        assert found[id]["probabilities"] == pytest.approx(wanted[id]["probabilities"], abs=0.005)
