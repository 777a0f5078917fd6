"""Checkpoints of the MSP-Podcast baseline in both published formats → weights, labels and constants, nothing executed.

hub           config.json of model_type `ser`, and model.safetensors or pytorch_model.bin with the prefixes
              `ssl_model.`, `pool_model.`, `ser_model.`
three files   {final,best}_{ssl,pool,ser}.pt (the training script writes `final`, the evaluation script reads `best`)
              and train_norm_stat.pkl
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serxbench.adapters._classifier import read_id2label
from serxbench.adapters._two_floats import read_two_floats
from serxbench.audio import SAMPLE_RATE
from serxbench.errors import AdapterError

PARTS = ("ssl", "pool", "ser")
BACKBONES = ("wavlm", "wav2vec2", "hubert")

#: What the card may say in place of, or against, the checkpoint.
SETTINGS = ("backbone", "backbone_revision", "mean", "std", "max_seconds", "id2label", "files")

_CONFIG = "config.json"
_NORM_STATISTICS = "train_norm_stat.pkl"
_HUB_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_HUB_PREFIXES = {f"{part}_model.": part for part in PARTS}

#: The baseline's own limit, in training and evaluation.
_MAX_SECONDS = 12.0

Weights = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class MspCheckpoint:
    """What a folder holds.

    weights: `ssl` (the backbone), `pool`, `ser` (the head) → name → tensor. labels: in the order of the logits.
    mean, std: of the training samples, by which every clip is normalised. backbone: its configuration.
    """

    weights: Mapping[str, Weights]
    labels: tuple[str, ...]
    mean: float
    std: float
    max_seconds: float
    backbone: Any


def read_checkpoint(folder: Path, settings: Mapping[str, Any]) -> MspCheckpoint:
    """The checkpoint in `folder`. The card's settings go before what the folder says. Raises AdapterError."""
    config = _read_config(folder)
    is_hub = config.get("model_type") == "ser"
    if config.get("sampling_rate", SAMPLE_RATE) != SAMPLE_RATE:
        raise AdapterError(
            f"{folder / _CONFIG}: sampling_rate {config['sampling_rate']}; only {SAMPLE_RATE} is supported"
        )
    if is_hub:
        longest = _number({"maxlen": _MAX_SECONDS * SAMPLE_RATE, **config}, "maxlen", folder)
        said = {**config, "max_seconds": longest / SAMPLE_RATE}
        weights = _read_hub_weights(folder)
    else:
        weights = _read_three_files(folder, settings.get("files"))
        said = {"max_seconds": _MAX_SECONDS, **_read_norm_statistics(folder, settings)}
    said |= {key: value for key, value in settings.items() if key in SETTINGS}
    where = f"{folder / _CONFIG}" if is_hub and "id2label" not in settings else "settings of the card"
    mean, std = _number(said, "mean", folder), _number(said, "std", folder)
    max_seconds = _number(said, "max_seconds", folder)
    if std <= 0 or max_seconds <= 0:
        raise AdapterError(f"{folder}: std {std:g} and max_seconds {max_seconds:g} must be above 0")
    return MspCheckpoint(
        weights=weights,
        labels=read_id2label(said.get("id2label"), where),
        mean=mean,
        std=std,
        max_seconds=max_seconds,
        backbone=_backbone_config(folder, config, said),
    )


def _number(said: Mapping[str, Any], name: str, folder: Path) -> float:
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise AdapterError(
            f"{folder}: '{name}' must be a number, in its {_CONFIG} or the card's settings; found {value!r}"
        )
    return float(value)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / _CONFIG
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AdapterError(f"{path}: is not valid JSON ({error})") from error
    if not isinstance(config, dict):
        raise AdapterError(f"{path}: is not a JSON object")
    return config


def _read_norm_statistics(folder: Path, settings: Mapping[str, Any]) -> dict[str, float]:
    if "mean" in settings and "std" in settings:
        return {}
    path = folder / _NORM_STATISTICS
    if not path.is_file():
        raise AdapterError(f"{path}: no such file; it holds the mean and std of the training samples. Put it there, or "
                           "give settings.mean and settings.std in the card")  # fmt: skip
    mean, std = read_two_floats(path)
    return {"mean": mean, "std": std}


def _read_hub_weights(folder: Path) -> dict[str, Weights]:
    path = next((folder / name for name in _HUB_WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise AdapterError(f"{folder}: has neither {' nor '.join(_HUB_WEIGHTS)}")
    parts: dict[str, Weights] = {part: {} for part in PARTS}
    for key, tensor in _read_tensors(path).items():
        prefix = next((prefix for prefix in _HUB_PREFIXES if key.startswith(prefix)), None)
        if prefix is None:
            raise AdapterError(f"{path}: holds '{key}', which is no part of this model ({', '.join(_HUB_PREFIXES)})")
        parts[_HUB_PREFIXES[prefix]][key.removeprefix(prefix)] = tensor
    return parts


def _read_three_files(folder: Path, chosen: object) -> dict[str, Weights]:
    kinds = {kind: {part: folder / f"{kind}_{part}.pt" for part in PARTS} for kind in ("best", "final")}
    if chosen is not None and chosen not in kinds:
        raise AdapterError(f"settings.files must be 'best' or 'final'; found {chosen!r}")
    wanted = [kind for kind, files in kinds.items() if all(path.is_file() for path in files.values())]
    wanted = [kind for kind in wanted if chosen in (None, kind)]
    if not wanted:
        raise AdapterError(
            f"{folder}: holds no checkpoint of the MSP-Podcast baseline. Wanted: {chosen or 'final'}_ssl.pt, …_pool.pt "
            f"and …_ser.pt (or best_…) with {_NORM_STATISTICS}, or the hub's {_CONFIG} with {_HUB_WEIGHTS[0]}"
        )
    if len(wanted) == 2:
        raise AdapterError(f"{folder}: holds both best_… and final_… files; say which with settings.files in the card")
    return {part: _read_tensors(path) for part, path in kinds[wanted[0]].items()}


def _read_tensors(path: Path) -> Weights:
    """Name → tensor. Raises AdapterError, also for a file with other pickled objects, whose code is not run."""
    import torch
    from safetensors.torch import load_file

    try:
        is_safe = path.suffix == ".safetensors"
        found = load_file(path) if is_safe else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises any of many unrelated types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise AdapterError(
            f"{path.parent}: cannot be loaded as the MSP-Podcast baseline ({path.name}: {reason})"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise AdapterError(f"{path}: holds something else than tensors by name; a state dict was wanted")
    return dict(found)


def _backbone_config(folder: Path, config: Mapping[str, Any], said: Mapping[str, Any]) -> Any:
    """The configuration of the encoder, from a file on this machine or from the hub (a few kilobytes)."""
    from transformers import AutoConfig

    own = str(folder) if config.get("model_type") in BACKBONES else None
    name = said.get("backbone") or own or said.get("ssl_type")
    if not isinstance(name, str):
        raise AdapterError(
            f"{folder}: nothing says which encoder this is; give settings.backbone in the card (a hub id such as "
            f"microsoft/wavlm-large, or a folder), or put the encoder's {_CONFIG} beside the weights"
        )
    near = folder / Path(name).expanduser()
    try:
        # Only the configuration is read: no weights, and no code of the repository.
        found = AutoConfig.from_pretrained(
            near if near.exists() else name,
            revision=said.get("backbone_revision"),
            trust_remote_code=False,
        )
    except Exception as error:  # whatever the hub's client raises
        raise AdapterError(
            f"{folder}: the configuration of its encoder '{name}' is not on this machine and could not be downloaded. "
            f"Get it with `hf download {name} {_CONFIG}`, or put that file beside the weights as backbone.json and "
            "give settings: {backbone: backbone.json}"
        ) from error
    if found.model_type not in BACKBONES:
        raise AdapterError(f"{folder}: its encoder is a {found.model_type}; there are: {', '.join(BACKBONES)}")
    return found
