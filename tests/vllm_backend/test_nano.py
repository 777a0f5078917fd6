"""`nano` through vLLM answers what it answers through transformers: alone, resumed, in control runs, at any length."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from runs_of_nano import command, environment, items_a_second, read, respond

LIMIT = ("--limit", 40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def by_transformers(folder: Path) -> Path:
    respond(folder / "transformers", "--backend", "transformers")
    return folder / "transformers"


@pytest.fixture(scope="module")
def by_vllm(folder: Path) -> Path:
    done = respond(folder / "vllm", "--backend", "vllm")
    assert done.stdout.strip() in ("", f"run: {folder / 'vllm'}"), "standard output is for data"
    return folder / "vllm"


def test_all_answers_are_those_of_transformers(
    by_transformers: Path, by_vllm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = read(by_transformers), read(by_vllm)
    assert len(ours) == 288
    # Every field: text, how it ended, and what was heard.
    assert theirs == ours
    assert not any(row["stop"] == "error" for row in ours.values())
    with capsys.disabled():
        rates = f"transformers {items_a_second(by_transformers):.1f}, vllm {items_a_second(by_vllm):.1f}"
        print(f"\n288 equal answers; items a second after loading: {rates}")


def test_the_manifest_says_what_computed(by_vllm: Path) -> None:
    manifest = (by_vllm / "manifest.json").read_text(encoding="utf-8")
    assert '"backend": "vllm"' in manifest
    assert '"vllm' in manifest.partition('"versions"')[2]


def _wait_for_answers(out: Path, process: subprocess.Popen[bytes], n: int) -> None:
    journal = out / "journal.jsonl"
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it could be stopped"
        if journal.is_file() and journal.read_bytes().count(b"\n") >= n:
            return
        time.sleep(0.05)
    raise AssertionError("no answer in ten minutes")


@pytest.fixture(params=["0", "1"], ids=["in-process", "own-process"])
def started(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run in the middle, with vLLM's engine in the same process (CPU) or in one of its own (the default on a GPU)."""
    settings = {**environment(), "VLLM_ENABLE_V1_MULTIPROCESSING": request.param}
    with subprocess.Popen(
        command(tmp_path / "run", "--backend", "vllm"), env=settings, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for_answers(tmp_path / "run", process, 25)
            yield process
        finally:
            process.kill()


def test_killed_and_resumed_it_ends_with_the_same_bytes(
    started: subprocess.Popen[bytes], tmp_path: Path, by_vllm: Path
) -> None:
    family = psutil.Process(started.pid).children(recursive=True)
    started.send_signal(signal.SIGKILL)
    started.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive, "processes outlived the run"
    assert not (tmp_path / "run" / "responses.jsonl").exists()
    respond(tmp_path / "run", "--backend", "vllm")
    # The first 25 and more were not asked again.
    assert (tmp_path / "run" / "responses.jsonl").read_bytes() == (by_vllm / "responses.jsonl").read_bytes()
    assert (tmp_path / "run" / "timings.jsonl").read_text().count('"event": "batch"') == 288


def test_interrupted_it_leaves_nothing_behind(started: subprocess.Popen[bytes]) -> None:
    family = psutil.Process(started.pid).children(recursive=True)
    started.send_signal(signal.SIGINT)
    assert started.wait(timeout=60) == 130
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive, "processes outlived the run"


@pytest.mark.parametrize("control", ["silence", "transcript"])
def test_control_runs_are_those_of_transformers(control: str, tmp_path: Path) -> None:
    for backend in ("transformers", "vllm"):
        respond(tmp_path / backend, "--backend", backend, "--control", control, *LIMIT, "--max-new-tokens", 60)
    assert read(tmp_path / "vllm") == read(tmp_path / "transformers")


def test_short_long_and_broken_clips(write_clip: Callable[..., Path], tmp_path: Path) -> None:
    clips = [write_clip(f"{n}.wav", seconds=seconds) for n, seconds in enumerate((0.02, 0.1, 0.11, 5.99, 6.0, 9.5))]
    clips += [write_clip("stereo.wav", seconds=1.0, rate=44_100, channels=2), tmp_path / "gone.wav"]
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF and nothing more")
    clips.append(broken)
    rows = [json.dumps({"id": clip.stem, "audio": clip.name}) for clip in clips]
    corpus = tmp_path / "clips.jsonl"
    corpus.write_text("\n".join(rows), encoding="utf-8")
    for backend in ("transformers", "vllm"):
        options = ("--backend", backend, "--data", f"manifest:{corpus}", "--max-new-tokens", 12)
        respond(tmp_path / backend, *options, code=3)
    answers = read(tmp_path / "vllm")
    assert answers == read(tmp_path / "transformers")
    assert "too short" in answers["0"]["error"]
    assert answers["5"]["truncated"]
    assert answers["1"]["stop"] == "length"
