"""The options of the vLLM backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serxbench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class VllmOptions:
    """How vLLM is run.

    max_num_seqs: answers computed together. concurrency: clips decoded and handed over, but not answered; memory grows
    with it. enforce_eager: no CUDA graphs and no compilation. gpu_memory_utilization: the share of a GPU that weights
    and cache take. tensor_parallel_size: GPUs that share the weights. max_model_len: the longest prompt and answer, in
    tokens; the checkpoint's own if None. kv_cache_gib: the cache's size; None leaves it to vLLM. decode: what
    `--decode` says.
    """

    max_num_seqs: int = 64
    concurrency: int = 128
    enforce_eager: bool = False
    gpu_memory_utilization: float = 0.9
    tensor_parallel_size: int = 1
    max_model_len: int | None = None
    kv_cache_gib: float | None = None
    decode: str = "text"

    def describe(self) -> dict[str, Any]:
        """What may move an answer: what is computed together, and by which kernels."""
        return {
            "batch_size": self.max_num_seqs,
            "enforce_eager": self.enforce_eager,
            "tensor_parallel_size": self.tensor_parallel_size,
            "max_model_len": self.max_model_len,
            **({} if self.decode == "text" else {"decode": self.decode}),
        }


#: Compiling takes a C++ compiler and minutes, and the cache is memory that somebody else may need.
_ON_CPU: dict[str, Any] = {"max_num_seqs": 16, "enforce_eager": True, "kv_cache_gib": 1.0}

_NUMBERS = {"gpu_memory_utilization": float, "kv_cache_gib": float, "enforce_eager": bool}


def read_options(given: Mapping[str, Any], device: str) -> VllmOptions:
    """The options in `given`, and this device's defaults. Raises UsageError.

    >>> read_options({"max_num_seqs": 4}, "cpu").concurrency
    8
    """
    known = [field.name for field in dataclasses.fields(VllmOptions)]
    chosen = {**(_ON_CPU if device == "cpu" else {}), **given}
    for name, value in chosen.items():
        if name not in known:
            raise UsageError(f"the backend vllm has no option '{name}'; there are: {', '.join(known)}")
        if name == "decode":
            continue  # its values are the engine's DECODES, and were looked at
        wanted = _NUMBERS.get(name, int)
        fits = isinstance(value, bool) == (wanted is bool) and isinstance(value, (wanted, int))
        if not fits or (wanted is not bool and value <= 0):
            kind = "true or false" if wanted is bool else f"a positive {wanted.__name__}"
            raise UsageError(f"the option '{name}' of the backend vllm is {value!r}; wanted {kind}")
    chosen.setdefault("concurrency", 2 * chosen.get("max_num_seqs", VllmOptions.max_num_seqs))
    return VllmOptions(**chosen)
