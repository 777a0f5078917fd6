"""`--batch-size auto`: worked out by hand from a checkpoint's sizes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from serxbench.adapters import Base, Loading
from serxbench.catalog import load_prompt, read_card
from serxbench.cli import cli
from serxbench.corpora import open_corpus
from serxbench.errors import UsageError
from serxbench.records import Decoding
from serxbench.stages import batch_sizes
from serxbench.stages.backends import RespondRequest
from serxbench.stages.batch_sizes import MOST, USUAL, batch_size_for, choose_batch_size

GIB = 2**30
CARDS = Path(__file__).parents[2] / "model_cards"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A Qwen2 of 2 layers and 4 heads of 64, two of them for keys: 1,024 numbers of cache a token; 2^20 weights."""
    config = {"model_type": "qwen2", "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    config |= {"num_key_value_heads": 2, "intermediate_size": 512, "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"a": np.zeros((1024, 512), np.float16)}, tmp_path / "model-1.safetensors")
    save_file({"b": np.zeros((512, 1024), np.float16)}, tmp_path / "model-2.safetensors")
    return tmp_path


def test_a_power_of_two_that_fits(checkpoint: Path) -> None:
    # A clip of 30 s and 250 tokens: 1,000 tokens of 2,048 bytes, a quarter more, and 192 MiB for the encoder.
    a_clip = 1000 * 2048 * 1.25 + 192 * 2**20
    beside = 2 * 2**20 + 4 * GIB
    sizes = {"folder": checkpoint, "dtype": "bfloat16", "seconds": 30.0, "n_tokens": 250}
    assert batch_size_for(beside + 16.5 * a_clip, **sizes) == 16
    assert batch_size_for(beside + 15.5 * a_clip, **sizes) == 8
    assert batch_size_for(beside + 1.5 * a_clip, **sizes) == 1
    assert batch_size_for(1 * GIB, **sizes) == 1
    assert batch_size_for(1000 * GIB, **sizes) == MOST


def test_longer_clips_and_wider_numbers_leave_room_for_fewer(checkpoint: Path) -> None:
    usual: dict[str, Any] = {"folder": checkpoint, "dtype": "bfloat16", "seconds": 30.0, "n_tokens": 250}
    size = batch_size_for(12 * GIB, **usual)
    assert batch_size_for(12 * GIB, **{**usual, "seconds": 120.0}) < size
    assert batch_size_for(12 * GIB, **{**usual, "n_tokens": 200_000}) < size
    assert batch_size_for(12 * GIB, **{**usual, "n_tokens": 60_000, "dtype": "float32"}) < size


def test_a_checkpoint_of_which_nothing_is_known(tmp_path: Path) -> None:
    assert batch_size_for(80 * GIB, folder=tmp_path, dtype="bfloat16", seconds=30, n_tokens=9) == USUAL
    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2"}')
    assert batch_size_for(80 * GIB, folder=tmp_path, dtype="bfloat16", seconds=30, n_tokens=9) == USUAL


@pytest.fixture
def request_() -> RespondRequest:
    corpus = open_corpus("demo", limit=2)
    return RespondRequest(
        card=read_card(CARDS / "nano.md"),
        mode="open",
        cot=False,
        prompt=load_prompt("open", corpus.labels),
        corpus=corpus,
        decoding=Decoding(),
        batch_size=None,
    )


def test_what_is_said_comes_first_and_a_cpu_takes_the_usual(request_: RespondRequest, checkpoint: Path) -> None:
    cpu = Loading(folder=checkpoint)
    assert choose_batch_size(request_, cpu) == USUAL
    assert choose_batch_size(replace(request_, batch_size=3), cpu) == 3
    gpu = replace(cpu, device="cuda", dtype="bfloat16")
    assert choose_batch_size(replace(request_, backend="vllm"), gpu) == USUAL
    with pytest.raises(UsageError, match="this machine has none to measure; give a number"):
        choose_batch_size(request_, gpu)


def test_the_weights_of_a_lora_are_its_bases(
    request_: RespondRequest, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The size of a GPU is the one thing that cannot be had here.
    monkeypatch.setattr(batch_sizes, "_gpu_bytes", lambda device: 9.0 * GIB)
    gpu = Loading(folder=checkpoint, device="cuda", dtype="bfloat16")
    lora = replace(gpu, folder=tmp_path / "lora", base=Base(adapter="qwen2_audio", loading=gpu))
    whole = choose_batch_size(request_, gpu)
    assert whole == choose_batch_size(request_, lora) == 16
    assert choose_batch_size(replace(request_, gpus_per_worker=0.5), gpu) < whole


def test_the_command_line_takes_a_number_or_auto(tmp_path: Path) -> None:
    asked = ["respond", "--model", "nano", "--mode", "open", "--batch-size", "many", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code == 2
    assert "'many' is neither a number nor auto" in done.output


def test_a_dry_run_says_what_auto_means_here(tmp_path: Path) -> None:
    asked = ["respond", "--model", "nano", "--mode", "open", "--limit", "20", "--dry-run", "--device", "cpu"]
    done = CliRunner().invoke(cli, [*asked, "--out", str(tmp_path / "run")])
    assert "batches  3 of at most 8" in done.output
