"""vLLM's own OpenAI-compatible server on this machine, serving `nano`, asked through `--backend http`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs_of_nano import LOGLIK, NANO, check_same_shares, nano_that_answers_with_letters, read, respond
from vllm_server import serving

AT_ONCE = ("--max-num-seqs", "16")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(NANO, "nano", tmp_path_factory.mktemp("server") / "log", *AT_ONCE) as url:
        yield url


def test_the_server_answers_what_transformers_answers(
    endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    respond(tmp_path / "transformers", "--backend", "transformers")
    began = time.perf_counter()
    respond(tmp_path / "http", "--backend", "http", "--endpoint", endpoint, "--concurrency", 16)
    took = time.perf_counter() - began
    ours, served = read(tmp_path / "transformers"), read(tmp_path / "http")
    assert len(served) == 288
    differing = [id for id, row in served.items() if (row["text"], row["stop"]) != (ours[id]["text"], ours[id]["stop"])]
    assert differing == []
    with capsys.disabled():
        print(f"\n288 equal answers from vLLM's server: {288 / took:.1f} items a second, start of the command included")


def test_label_probabilities_are_those_of_transformers(tmp_path: Path) -> None:
    model = nano_that_answers_with_letters(tmp_path / "letters")
    respond(tmp_path / "transformers", *LOGLIK, "--model", model, "--backend", "transformers")
    respond(tmp_path / "vllm", *LOGLIK, "--model", model, "--backend", "vllm")
    with serving(model, "nano", tmp_path / "log", *AT_ONCE) as url:
        respond(tmp_path / "http", *LOGLIK, "--model", model, "--backend", "http", "--endpoint", url)
    for backend in ("vllm", "http"):
        check_same_shares(read(tmp_path / backend), read(tmp_path / "transformers"))
