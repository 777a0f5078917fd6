"""`--batch-size auto`: how many clips fit beside the weights, from the checkpoint's files and the card of the GPU.

The number is worked out before anything is loaded and stands in the manifest. It depends on the checkpoint, the model
of the GPU and the longest answer allowed, not on what happens to be free, so that a resumed run plans the same batches.
Where it is too many after all, the batch is halved (serxbench.engines.transformers).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serxbench.adapters import Loading
from serxbench.errors import UsageError
from serxbench.stages.backends import RespondRequest

#: On a CPU, and for a model of which nothing is known.
USUAL = 8

#: Beyond this a batch gets no faster.
MOST = 128

#: What CUDA, its libraries and the allocator take or leave in pieces.
_SPARED_BYTES = 4 * 2**30

#: The encoder's activations for 30 s of sound, an upper bound for Whisper-large in 16 bits.
_ENCODER_BYTES = 192 * 2**20

#: Growing a cache copies it, layer by layer.
_CACHE_OVERHEAD = 1.25

_LONGEST_SECONDS = 30.0
_TOKENS_A_SECOND = 25
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def choose_batch_size(request: RespondRequest, loading: Loading) -> int:
    """What was asked for, else as many as fit: a power of two. Raises UsageError where there is no telling."""
    if request.batch_size is not None:
        return request.batch_size
    if request.backend != "transformers" or not loading.device.startswith("cuda"):
        return USUAL
    share = 1.0 if request.gpus_per_worker is None else min(1.0, request.gpus_per_worker)
    whole = loading.base.loading if loading.base else loading
    return batch_size_for(
        _gpu_bytes(loading.device) * share,
        folder=whole.folder,
        dtype=loading.dtype,
        seconds=min(request.card.max_audio_seconds or _LONGEST_SECONDS, _LONGEST_SECONDS * 4),
        n_tokens=len(request.prompt.text) // 2 + request.decoding.max_new_tokens,
    )


def batch_size_for(gpu_bytes: float, *, folder: Path, dtype: str, seconds: float, n_tokens: int) -> int:
    """The largest power of two that fits, 1 to MOST; USUAL for a checkpoint that does not say how it is built.

    seconds: of the longest clip. n_tokens: of a prompt without its sound, and its answer.
    """
    found = _text_config(folder)
    weights = _weight_bytes(folder, dtype)
    if found is None or not weights:
        return USUAL
    cache = _cache_bytes(found, dtype) * (n_tokens + _TOKENS_A_SECOND * seconds) * _CACHE_OVERHEAD
    a_clip = cache + _ENCODER_BYTES * math.ceil(seconds / 30)
    room = gpu_bytes - weights - _SPARED_BYTES
    return 1 if room < 2 * a_clip else min(MOST, 2 ** int(math.log2(room / a_clip)))


def _gpu_bytes(device: str) -> float:
    import torch

    if not torch.cuda.is_available():
        raise UsageError(
            "--batch-size auto: the model computes on a GPU and this machine has none to measure; give a number"
        )
    return float(torch.cuda.get_device_properties(device).total_memory)


def _cache_bytes(text: Mapping[str, Any], dtype: str) -> float:
    """Of one token, in all layers."""
    heads = int(text["num_attention_heads"])
    width = int(text.get("head_dim") or text["hidden_size"] // heads)
    return 2.0 * int(text["num_hidden_layers"]) * int(text.get("num_key_value_heads") or heads) * width * _BYTES[dtype]


def _text_config(folder: Path) -> Mapping[str, Any] | None:
    """The decoder's part of config.json, its defaults filled in; None if it has none that can be read."""
    from transformers import AutoConfig

    wanted = ("num_hidden_layers", "num_attention_heads", "hidden_size")
    try:
        config = AutoConfig.from_pretrained(folder)
        thinker = getattr(config, "thinker_config", config)
        found: Mapping[str, Any] = thinker.get_text_config(decoder=True).to_dict()
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return found if all(isinstance(found.get(name), int) for name in wanted) else None


def _weight_bytes(folder: Path, dtype: str) -> float:
    """Of the checkpoint's numbers in this format; 0 if there are none."""
    n_numbers = sum(_count_numbers(path) for path in folder.glob("*.safetensors"))
    return float(n_numbers * _BYTES[dtype])


def _count_numbers(path: Path) -> int:
    """From the header, which is a JSON object behind its length in eight bytes."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(each["shape"]) for name, each in header.items() if name != "__metadata__")
