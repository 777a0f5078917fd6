"""Tiny LoRAs for tiny Qwen2-Audio checkpoints, as peft writes them under either release of transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

RANK, ALPHA = 4, 8

#: The modules of the paper's recipe, in the names of transformers 4, which are also those in a checkpoint's files.
ATTENTION = tuple(f"language_model.model.layers.{n}.self_attn.{p}_proj" for n in (0, 1) for p in "qkvo")
HEAD = "language_model.lm_head"
ENCODER = tuple(f"audio_tower.layers.{n}.self_attn.{p}_proj" for n in (0, 1) for p in "qkv")

#: What LLaMA-Factory lists in full and peft shortens to what tells the modules apart.
TARGETS_OF_4 = [*(f"model.layers.{n}.self_attn.{p}_proj" for n in (0, 1) for p in "qkv"), "o_proj", "lm_head"]
TARGETS_OF_5 = [*(f"language_model.layers.{n}.self_attn.{p}_proj" for n in (0, 1) for p in "qkv"), "o_proj", "lm_head"]


def name_of_5(module: str) -> str:
    """The module's name under transformers 5."""
    if module == HEAD:
        return "lm_head"
    return f"model.{module.replace('language_model.model', 'language_model')}"


def lora(
    folder: Path,
    base: Path,
    *,
    modules: Sequence[str] = (*ATTENTION, HEAD),
    rename: Callable[[str], str] = lambda module: module,
    size: float = 0.1,
    **config: Any,
) -> Path:
    """An adapter in `folder` for the checkpoint `base`. rename: from transformers 4. size: of the numbers in lora_B."""
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(base / "model.safetensors")
    random = torch.Generator().manual_seed(1)
    tensors = {}
    for module in modules:
        n_out, n_in = weights[f"{module}.weight"].shape
        name = f"base_model.model.{rename(module)}"
        tensors[f"{name}.lora_A.weight"] = torch.randn(RANK, n_in, generator=random) * 0.1
        tensors[f"{name}.lora_B.weight"] = torch.randn(n_out, RANK, generator=random) * size
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(_config(base, **config), indent=2))
    return folder


def change(folder: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """The adapter in `folder` after `edit` has changed its tensors."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "adapter_model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def _config(base: Path, **changes: Any) -> dict[str, Any]:
    return {
        "alpha_pattern": {},
        "auto_mapping": None,
        "base_model_name_or_path": str(base),
        "bias": "none",
        "corda_config": None,
        "eva_config": None,
        "exclude_modules": None,
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "layer_replication": None,
        "layers_pattern": None,
        "layers_to_transform": None,
        "loftq_config": {},
        "lora_alpha": ALPHA,
        "lora_bias": False,
        "lora_dropout": 0.0,
        "megatron_config": None,
        "megatron_core": "megatron.core",
        "modules_to_save": None,
        "peft_type": "LORA",
        "qalora_group_size": 16,
        "r": RANK,
        "rank_pattern": {},
        "revision": None,
        "target_modules": TARGETS_OF_4,
        "target_parameters": None,
        "task_type": "CAUSAL_LM",
        "trainable_token_indices": None,
        "use_dora": False,
        "use_qalora": False,
        "use_rslora": False,
        **changes,
    }
