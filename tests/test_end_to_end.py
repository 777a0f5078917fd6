"""The whole command, in processes of its own: killed, resumed, fed with broken files, refused."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import SHARED, Serxbench, read_rows, write_rows

FINAL_FILES = ("manifest.json", "responses.jsonl", "parsed.jsonl", "predictions.jsonl", "scores.json", "derived.json")

WriteClip = Callable[..., Path]


def contents(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in FINAL_FILES}


def arguments(model: Path | str, data: str, out: Path, **options: object) -> list[str]:
    chosen = {"mode": "closed", "max-new-tokens": 4, "batch-size": 2, **options}
    return ["run", "--model", str(model), "--data", data, "--out", str(out), *flags(chosen)]


def flags(options: dict[str, object]) -> list[str]:
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


def test_killed_at_random_moments_and_resumed(
    tiny_checkpoint: Path, small_corpus: Path, tmp_path: Path, serxbench: Serxbench
) -> None:
    data = f"manifest:{small_corpus}"
    whole = arguments(tiny_checkpoint, data, tmp_path / "whole", **{"batch-size": 1, "max-new-tokens": 40})
    began = time.monotonic()
    assert serxbench(*whole).returncode == 0
    took = time.monotonic() - began
    killed = arguments(tiny_checkpoint, data, tmp_path / "killed", **{"batch-size": 1, "max-new-tokens": 40})
    moments = random.Random(2509)
    journal_sizes = []
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-m", "serxbench", *killed],
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        journal = tmp_path / "killed" / "journal.jsonl"
        size = journal.stat().st_size if journal.exists() else 0
        deadline = time.monotonic() + 3 * took + 20
        # At random: as soon as the journal has grown, or somewhere between two batches.
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.stat().st_size > size:
                time.sleep(moments.uniform(0, 0.15))
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        journal_sizes.append(journal.stat().st_size if journal.exists() else None)
    assert journal_sizes[0], "the first kill has to come in the middle for this test to mean anything"
    finished = serxbench(*killed)
    assert finished.returncode == 0, finished.stderr
    assert contents(tmp_path / "whole") == contents(tmp_path / "killed")
    assert not (tmp_path / "killed" / "journal.jsonl").exists()
    before = (tmp_path / "killed" / "timings.jsonl").read_bytes()
    assert serxbench(*killed).returncode == 0
    assert (tmp_path / "killed" / "timings.jsonl").read_bytes() == before, "a finished run asks the model nothing"


def test_another_run_in_the_same_folder_is_refused(
    tiny_checkpoint: Path, small_corpus: Path, tmp_path: Path, serxbench: Serxbench
) -> None:
    data = f"manifest:{small_corpus}"
    assert serxbench(*arguments(tiny_checkpoint, data, tmp_path / "run", limit=2)).returncode == 0
    before = contents(tmp_path / "run")
    other = serxbench(*arguments(tiny_checkpoint, data, tmp_path / "run", limit=2, seed=1))
    assert other.returncode == 1
    assert "holds another run: decoding.seed: 0 → 1" in other.stderr
    assert contents(tmp_path / "run") == before


def test_every_broken_clip_has_a_record(
    tiny_checkpoint: Path, tmp_path: Path, write_clip: WriteClip, serxbench: Serxbench
) -> None:
    good = [write_clip(f"good/{n}.wav", seconds=0.15 + 0.01 * n) for n in range(20)]
    rows: list[dict[str, Any]] = [
        {"id": f"good{n:04}", "audio": str(good[n % 20].relative_to(tmp_path)), "votes": ["Sad", "Sad", "Happy"]}
        for n in range(1990)
    ]
    bad = broken_clips(tmp_path, write_clip)
    for n, name in enumerate(bad):
        rows.insert(37 + 190 * n, {"id": name, "audio": f"bad/{name}.wav", "votes": ["Angry"]})
    assert len(rows) == 2000
    data = f"manifest:{write_rows(tmp_path / 'corpus.jsonl', rows)}"
    out = tmp_path / "run"
    command = [sys.executable, "-m", "serxbench", *arguments(tiny_checkpoint, data, out, **{"batch-size": 32})]
    finished = subprocess.run(without_root(command), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 3, finished.stderr
    responses = read_rows(out / "responses.jsonl")
    assert [row["id"] for row in responses] == [row["id"] for row in rows]
    by_id = {row["id"]: row for row in responses}
    for name, reason in bad.items():
        said = by_id[name].get("error") or by_id[name].get("note") or ""
        assert reason in said, (name, by_id[name])
    failed = {row["id"] for row in responses if row["stop"] == "error"}
    assert failed == set(bad) - {"long", "stereo"}, "a long and a stereo clip are answered, with a note"
    assert by_id["long"]["truncated"]
    predictions = {row["id"]: row for row in read_rows(out / "predictions.jsonl")}
    assert list(predictions) == [row["id"] for row in rows]
    assert {predictions[name]["status"] for name in failed} == {"error"}
    assert all("label" not in row for row in predictions.values() if row["status"] != "ok")
    scores = json.loads((out / "scores.json").read_text())
    assert scores["answers"]["n_failed"] == 8
    assert next(row["n"] for row in scores["scores"] if row["metric"] == "accuracy") == 2000


def broken_clips(folder: Path, write_clip: WriteClip) -> dict[str, str]:
    """Ten clips that are not as they should be: name → what a record must say of it."""
    write_clip("bad/short.wav", seconds=0.01)
    write_clip("bad/long.wav", seconds=400)
    write_clip("bad/stereo.wav", seconds=0.5, rate=48_000, channels=2)
    (folder / "bad/empty.wav").write_bytes(b"")
    (folder / "bad/text.wav").write_text("Dear diary, this is not a recording.\n" * 9)
    (folder / "bad/pointer.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n")
    soundfile.write(folder / "bad/nan.wav", np.full(8000, np.nan), 16_000, subtype="FLOAT")
    soundfile.write(folder / "bad/header.wav", np.zeros(0), 16_000)
    write_clip("bad/forbidden.wav").chmod(0)
    return {
        "missing": "no such file",
        "empty": "is empty (0 bytes)",
        "text": "cannot be decoded",
        "short": "too short",
        "long": "cut from 400.0 s to 2 s",
        "stereo": "2 channels averaged, resampled from 48000 Hz",
        "nan": "not finite numbers",
        "pointer": "Git LFS pointer",
        "forbidden": "permission denied",
        "header": "no samples",
    }


def without_root(command: list[str]) -> list[str]:
    """The command without root's right to read every file, where it would have it."""
    if os.geteuid() != 0:
        return command
    if shutil.which("setpriv") is None:
        pytest.skip("as root without setpriv nothing is forbidden")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]


@pytest.mark.parametrize("model", ["nano"])
def test_the_batch_size_changes_no_response(model: str, tmp_path: Path, serxbench: Serxbench) -> None:
    texts = {}
    for size in (1, 3, 16):
        out = tmp_path / f"run{size}"
        options = {"batch-size": size, "dtype": "float32", "mode": "open", "max-new-tokens": 128, "limit": 24}
        finished = serxbench(*arguments(model, "demo", out, **options))
        assert finished.returncode == 0, finished.stderr
        texts[size] = (out / "responses.jsonl").read_bytes()
    assert texts[1] == texts[3] == texts[16]
    assert len({row["text"] for row in read_rows(tmp_path / "run1" / "responses.jsonl")}) > 12


def test_json_is_all_that_is_on_stdout(
    tiny_checkpoint: Path, small_corpus: Path, tmp_path: Path, serxbench: Serxbench
) -> None:
    finished = serxbench(*arguments(tiny_checkpoint, f"manifest:{small_corpus}", tmp_path / "run"), "--json", "-q")
    (scores,) = json.loads(finished.stdout)
    assert scores["run"] == str(tmp_path / "run")
    assert finished.stderr == ""


def test_the_stages_one_by_one_give_the_same_files(
    tiny_checkpoint: Path, small_corpus: Path, tmp_path: Path, serxbench: Serxbench
) -> None:
    data = f"manifest:{small_corpus}"
    assert serxbench(*arguments(tiny_checkpoint, data, tmp_path / "at-once")).returncode == 0
    _, *rest = arguments(tiny_checkpoint, data, tmp_path / "stepwise")
    assert serxbench("respond", *rest).returncode == 0
    early = serxbench("cluster", tmp_path / "stepwise")
    assert (early.returncode, "has no parsed.jsonl yet" in early.stderr) == (1, True)
    for verb in ("parse", "cluster", "score"):
        assert serxbench(verb, tmp_path / "stepwise").returncode == 0
    assert contents(tmp_path / "at-once") == contents(tmp_path / "stepwise")


@pytest.mark.skipif(not (SHARED / "crema-d").is_dir(), reason="the CREMA-D development data is not here")
def test_real_clips_with_real_votes(tiny_checkpoint: Path, tmp_path: Path, serxbench: Serxbench) -> None:
    options = {"data-root": SHARED / "crema-d", "limit": 40, "mode": "open"}
    finished = serxbench(*arguments(tiny_checkpoint, "crema-d", tmp_path / "run", **options))
    assert finished.returncode == 0, finished.stderr
    assert "350 of the 7442 clips" in finished.stderr
    responses = read_rows(tmp_path / "run" / "responses.jsonl")
    assert Counter(row["stop"] for row in responses).keys() <= {"end", "length"}
    assert all(1 < row["audio_seconds"] < 6 for row in responses)
