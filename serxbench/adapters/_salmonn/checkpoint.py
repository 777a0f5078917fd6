"""The official files as they are: BEATs' `.pt`, and SALMONN's `.pth` of what was trained.

Upstream fills its model with `strict=False`, which hides every mistake. Here each key of a file is used or known to be
superfluous, and each weight that was trained comes from the file; anything else is an AdapterError.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from serxbench.adapters._salmonn.beats import Beats, BeatsConfig
from serxbench.adapters._salmonn.fusion import Fusion, FusionSizes
from serxbench.errors import AdapterError

#: Names of the fusion's weights in the file: pattern → replacement, in this order.
_FILE_NAMES = (
    (r"^query_tokens$", "speech_query_tokens"),
    (r"^projection\.", "speech_llama_proj."),
    (r"^qformer\.layernorm\.", "speech_Qformer.bert.embeddings.LayerNorm."),
    (r"^qformer\.", "speech_Qformer.bert."),
    (r"attention\.attention\.", "attention.self."),
)
_LORA_PREFIX = "llama_model.base_model.model."

#: Buffers that older libraries stored; they hold what the configuration already says.
_BUFFERS = re.compile(r"(^|\.)(rotary_emb\.inv_freq|embeddings\.position_ids)$")

#: One table of BEATs serves all of its layers, and is stored once for each.
_SHARED_BIAS = re.compile(r"(?:beats\.)?encoder\.layers\.(\d+)\.self_attn\.relative_attention_bias\.weight")
_FIRST_BIAS = "encoder.layers.0.self_attn.relative_attention_bias.weight"

_WEIGHT_NORM = ("encoder.pos_conv.0.weight_g", "encoder.pos_conv.0.weight_v")


def read_file(path: Path, wanted: Sequence[str]) -> dict[str, Any]:
    """The dictionary in a file of torch.save, with a dictionary under each of `wanted`. Raises AdapterError."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise AdapterError(
            f"{path}: holds pickled objects besides tensors and plain data (or is damaged); such a file can run code "
            "when it is read, and is refused. Get the official file"
        ) from error
    except Exception as error:  # a damaged file raises any of many unrelated types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise AdapterError(f"{path}: cannot be read as a file of torch.save ({reason})") from error
    absent = [key for key in wanted if not isinstance(found, dict) or not isinstance(found.get(key), dict)]
    if absent:
        raise AdapterError(f"{path}: holds no dictionary '{absent[0]}'; a file with {' and '.join(wanted)} was wanted")
    return dict(found)


def load_beats(path: Path) -> Beats:
    """BEATs from its official file; the classifier of the fine-tuned files is left out. Raises AdapterError."""
    found = read_file(path, ("cfg", "model"))
    beats = Beats(BeatsConfig.of_checkpoint(found["cfg"], path))
    weights = {key: value for key, value in found["model"].items() if not key.startswith("predictor.")}
    _drop_copies(weights, weights.get(_FIRST_BIAS), path)
    if all(key in weights for key in _WEIGHT_NORM):
        length, direction = (weights.pop(key).float() for key in _WEIGHT_NORM)
        norm = torch.linalg.vector_norm(direction, dim=(0, 1), keepdim=True)
        weights["encoder.pos_conv.0.weight"] = direction * (length / norm)
    fill(dict(beats.named_parameters()), weights, path)
    return beats


def fusion_sizes(weights: Mapping[str, Tensor], speech: int, audio: int, path: Path) -> FusionSizes:
    """The sizes that a SALMONN checkpoint has for encoders of these widths. Raises AdapterError if it is none."""
    layer = "speech_Qformer.bert.encoder.layer."
    keys = ("speech_query_tokens", f"{layer}0.intermediate_query.dense.weight", "speech_llama_proj.weight")
    if absent := [key for key in keys if key not in weights]:
        raise AdapterError(f"{path}: has no '{absent[0]}'; the checkpoint of a SALMONN was wanted")
    queries, inner, projection = (weights[key] for key in keys)
    return FusionSizes(
        speech=speech,
        audio=audio,
        hidden=queries.shape[-1],
        inner=inner.shape[0],
        layers=1 + max(int(key.removeprefix(layer).split(".")[0]) for key in weights if key.startswith(layer)),
        queries=queries.shape[1],
        llm=projection.shape[0],
    )


def fill_salmonn(fusion: Fusion, llm: nn.Module, beats: Beats, weights: Mapping[str, Tensor], path: Path) -> None:
    """Puts the file's weights into the fusion and the LoRA of the language model. Raises AdapterError."""
    kept = {key: value for key, value in weights.items() if not _BUFFERS.search(key)}
    # Upstream saves all that has no gradient of its own, and the copies of a shared weight pass for that.
    _drop_copies(kept, beats.state_dict()[_FIRST_BIAS], path)
    wanted = {_file_name(name): value for name, value in fusion.named_parameters()}
    wanted |= {_LORA_PREFIX + name: value for name, value in llm.named_parameters() if ".lora_" in name}
    fill(wanted, kept, path)


def fill(parameters: Mapping[str, Tensor], weights: Mapping[str, Tensor], path: Path) -> None:
    """Copies each weight into the parameter of its name. Raises AdapterError unless they match one to one."""
    faults = (
        ("weights are missing", sorted(parameters.keys() - weights.keys())),
        ("weights have no place in the model", sorted(weights.keys() - parameters.keys())),
        (
            "weights have other shapes than the model",
            [
                f"{key} {tuple(weights[key].shape)} for {tuple(parameter.shape)}"
                for key, parameter in parameters.items()
                if key in weights and weights[key].shape != parameter.shape
            ],
        ),
    )
    for fault, keys in faults:
        if keys:
            raise AdapterError(
                f"{path}: {len(keys)} {fault} (the first: {', '.join(keys[:3])}); "
                "check that this file, Whisper, BEATs and the language model belong together"
            )
    with torch.no_grad():
        for key, parameter in parameters.items():
            parameter.copy_(weights[key])


def _file_name(name: str) -> str:
    for pattern, replacement in _FILE_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _drop_copies(weights: dict[str, Tensor], original: Tensor | None, path: Path) -> None:
    """Removes the copies of BEATs' shared table from `weights`, if they are copies of `original`."""
    for key in [key for key in weights if _SHARED_BIAS.fullmatch(key) and key != _FIRST_BIAS]:
        if original is None or not torch.equal(weights[key], original):
            raise AdapterError(f"{path}: '{key}' differs from the BEATs that is loaded; another BEATs file was wanted")
        del weights[key]
