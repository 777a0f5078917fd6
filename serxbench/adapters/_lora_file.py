"""What a folder of a LoRA holds: `adapter_config.json` and `adapter_model.safetensors`, as peft writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serxbench.errors import AdapterError

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PICKLE = "adapter_model.bin"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_CACHED = re.compile(r"models--([\w.-]+?)--([\w.-]+)")

#: Keys of adapter_config.json that say how the training was done and what is adapted; the names are matched elsewhere.
_OF_THE_TRAINING = {
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
}
#: Keys that say how the weights are used, all of which are honoured.
_OF_THE_WEIGHTS = {
    "alpha_pattern",
    "fan_in_fan_out",
    "lora_alpha",
    "lora_bias",
    "r",
    "rank_pattern",
    "use_dora",
    "use_rslora",
}
#: These initialisations leave the base as it is; others (PiSSA, OLoRA, LoftQ, …) change its weights.
_PLAIN_INITIALISATIONS = (True, False, "gaussian", "orthogonal", "eva")


def is_lora_folder(folder: Path) -> bool:
    """Whether the folder holds an adapter."""
    return (folder / CONFIG).is_file()


def read_config(folder: Path) -> dict[str, Any]:
    """The adapter's configuration. Raises AdapterError if it asks for something that would not be done."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AdapterError(
            f"{folder}: has no {CONFIG}; a folder of a LoRA, as peft or LLaMA-Factory writes it, was wanted"
        ) from None
    except ValueError as error:
        raise AdapterError(f"{path}: is not JSON ({error})") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        found = config.get("peft_type") if isinstance(config, dict) else type(config).__name__
        raise AdapterError(f"{path}: peft_type is {found!r}; only 'LORA' can be loaded")
    for key, value in config.items():
        if key not in _OF_THE_TRAINING | _OF_THE_WEIGHTS and value not in (None, False, "none", [], {}):
            raise AdapterError(f"{path}: '{key}' is {value!r}, which cannot be honoured here")
    if config.get("init_lora_weights", True) not in _PLAIN_INITIALISATIONS:
        raise AdapterError(
            f"{path}: init_lora_weights is {config['init_lora_weights']!r}, which changes the base's own weights; "
            "convert it to a plain LoRA (peft: save_pretrained with path_initial_model_for_weight_conversion)"
        )
    return config


def read_tensors(folder: Path) -> Mapping[str, Any]:
    """Name → tensor, all of them on the CPU. Raises AdapterError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    if not path.is_file():
        if (folder / _PICKLE).is_file():
            # Its bytes are in no run's manifest, and opening a pickle may run code.
            raise AdapterError(
                f"{folder}: has only {_PICKLE}, a pickle. Convert it, if you trust where it is from: "
                f"python -c \"import torch, safetensors.torch as s; s.save_file(torch.load('{_PICKLE}', "
                f"weights_only=True), '{WEIGHTS}')\""
            )
        raise AdapterError(f"{folder}: has no {WEIGHTS}")
    try:
        tensors: Mapping[str, Any] = load_file(path)
    except SafetensorError as error:
        raise AdapterError(f"{path}: is damaged ({error})") from error
    return tensors


def trained_on(folder: Path) -> str | None:
    """The base that the adapter's configuration names: a hub id, or a path on the machine that trained it."""
    name = read_config(folder).get("base_model_name_or_path")
    return name if isinstance(name, str) and name else None


def hub_id(name: str) -> str | None:
    """The hub id in a base's name or path; None for a folder that does not lie in the hub's cache.

    >>> hub_id("/cache/models--Qwen--Qwen2-Audio-7B-Instruct/snapshots/0a09")
    'Qwen/Qwen2-Audio-7B-Instruct'
    >>> hub_id("Qwen/Qwen2-Audio-7B-Instruct"), hub_id("../Qwen2-Audio")
    ('Qwen/Qwen2-Audio-7B-Instruct', None)
    """
    if cached := _CACHED.search(name):
        return f"{cached[1]}/{cached[2]}"
    return name if _HUB_ID.fullmatch(name) and not name.startswith(".") else None


def prompt_style_of(folder: Path) -> str | None:
    """The prompt style that the files say it was trained with: `llamafactory`, or None if they do not say.

    LLaMA-Factory tags the folder's README and leaves its log; its checkpoints lie in subfolders of that folder.
    """
    for place in (folder, folder.parent) if folder.name.startswith("checkpoint-") else (folder,):
        readme = place / "README.md"
        head = readme.read_text(encoding="utf-8", errors="replace").split("\n---", 1)[0] if readme.is_file() else ""
        if re.search(r"^\s*-\s*llama-factory\s*$", head, re.MULTILINE) or (place / "trainer_log.jsonl").is_file():
            return "llamafactory"
    return None
