"""A real small language model, SmolLM2-135M behind vLLM's server, judges `nano` against its twin without reasons."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import smol_server
from runs_of_nano import environment, respond

from serxbench.judging.canaries import ASKS


@pytest.fixture(scope="module")
def judging(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path, str]:
    """What is reported, the folder, and what the terminal shows."""
    folder = tmp_path_factory.mktemp("judged")
    with_reasons, without = folder / "with-reasons", folder / "without"
    respond(with_reasons, "--limit", 12)
    respond(without, "--model", "nano-no-reason", "--limit", 12)
    ask = [sys.executable, "-m", "serxbench", "judge", with_reasons, without, "--judge", f"openai:{smol_server.NAME}"]
    ask += ["--per-emotion", 1, "--canaries", 1, "--max-new-tokens", 120, "--no-figure", "--out", folder / "out"]
    ask += ["--llm-cache", folder / "cache", "--quiet"]
    with smol_server.running(tmp_path_factory.mktemp("smol")) as url:
        done = subprocess.run(
            [str(each) for each in (*ask, "--endpoint", url)],
            env=environment(), capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out" / "win_rates.json").read_text()), folder / "out", done.stdout


def test_every_question_has_a_verdict_or_a_reason(judging: tuple[dict, Path, str]) -> None:
    numbers, folder, _ = judging
    rows = [json.loads(line) for line in (folder / "judgments.jsonl").read_text().splitlines()]
    (pair,) = numbers["pairs"]
    assert len(rows) == sum(pair["statuses"].values()) == 2 * sum(each["n_taken"] for each in numbers["strata"])
    for row in rows:
        assert (row["status"] == "ok") == ("verdict" in row) == ("error" not in row)
        assert row["text"]
    assert numbers["systems"]["a"]["texts"]["rationales"] > 0
    assert numbers["systems"]["b"]["texts"]["rationales"] == 0


def test_its_canaries_are_printed_and_speak_against_it(judging: tuple[dict, Path, str]) -> None:
    numbers, _, shown = judging
    assert {row["kind"] for row in numbers["canaries"]} == set(ASKS)
    assert all(kind in shown for kind in ASKS)
    assert any("canaries" in each or "identical" in each or "leans" in each for each in numbers["warnings"])
