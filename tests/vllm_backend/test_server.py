"""vLLM's own OpenAI-compatible server on this machine, serving `nano`, asked through `--backend http`."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs_of_nano import LOGLIK, NANO, check_same_shares, environment, nano_that_answers_with_letters, read, respond


@contextlib.contextmanager
def serving(model: Path, log: Path) -> Iterator[str]:
    """The address of vLLM's server with this checkpoint."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {**environment(), "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1"}
    # Not `vllm serve`: that program looks for a package named vllm, and the CPU build's is vllm-cpu.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    command += ["--served-model-name", "nano"]
    command += ["--dtype", "float32", "--generation-config", "vllm", "--enforce-eager", "--max-num-seqs", "16"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        # A session of its own: its processes end together.
        server = subprocess.Popen(
            list(map(str, command)),
            env={**settings, "VLLM_NO_USAGE_STATS": "1"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(port, server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(NANO, tmp_path_factory.mktemp("server") / "log") as url:
        yield url


def _wait_until_it_answers(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError("vLLM's server did not start:\n" + log.read_text(errors="replace")[-3000:])


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
    with serving(model, tmp_path / "log") as url:
        respond(tmp_path / "http", *LOGLIK, "--model", model, "--backend", "http", "--endpoint", url)
    for backend in ("vllm", "http"):
        check_same_shares(read(tmp_path / backend), read(tmp_path / "transformers"))
