"""The samples and settings of a recipe as LLaMA-Factory reads them, to train there what would be trained here.

    dataset_info.json              which files there are, and what their columns mean
    VARIANT-train.json, VARIANT-validation.json     samples in the shuffled order: `max_samples` takes the first rows
    VARIANT.yaml                   llamafactory-cli train VARIANT.yaml

The formats are those of LLaMA-Factory's data/README.md (sharegpt, `messages` and `audios`). Its template `qwen2_audio`
writes a prompt of its own, so an adapter that comes back is asked with the prompt style `llamafactory`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from serxbench.catalog import ModelCard
from serxbench.errors import CorpusError, UsageError
from serxbench.runs import write_atomically
from serxbench.sft.recipe import Recipe
from serxbench.sft.samples import Sample
from serxbench.sft.targets import Variant

#: Stands in a text where a clip goes; there must be as many as there are clips.
PLACEHOLDER = "<audio>"

#: Family → LLaMA-Factory's name of its template.
TEMPLATES = {"qwen2_audio": "qwen2_audio"}

_COLUMNS = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "audios": "audios"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}


def export_llamafactory(
    recipe: Recipe, base: ModelCard, samples: Mapping[str, Sequence[Sample]], variants: Sequence[Variant], out: Path
) -> list[Path]:
    """Writes the files and returns them. samples: by part. Raises UsageError for a base that has no template there."""
    if base.adapter not in TEMPLATES:
        raise UsageError(f"LLaMA-Factory's template for models of the family '{base.adapter}' is not known here")
    if recipe.settings.speeds != (1.0,):
        raise UsageError(f"{recipe.path}: LLaMA-Factory plays clips as they are; it cannot do with speeds")
    out.mkdir(parents=True, exist_ok=True)
    info: dict[str, Any] = {}
    written = []
    for variant in variants:
        for part, rows in samples.items():
            path = out / f"{variant}-{part}.json"
            text = json.dumps([make_row(sample, variant) for sample in rows], ensure_ascii=False, indent=1)
            write_atomically(path, text)
            info[path.stem] = {"file_name": path.name, **_COLUMNS}
            written.append(path)
        path = out / f"{variant}.yaml"
        write_atomically(path, yaml.safe_dump(make_arguments(recipe, base, variant, out), sort_keys=False))
        written.append(path)
    path = out / "dataset_info.json"
    write_atomically(path, json.dumps(info, indent=2))
    return [*written, path]


def make_row(sample: Sample, variant: Variant) -> dict[str, Any]:
    """One item of a dataset. Raises CorpusError for a text that LLaMA-Factory would look for a clip in."""
    target = sample.target(variant)
    if PLACEHOLDER in sample.question or PLACEHOLDER in target:
        raise CorpusError(f"{sample.id}: its text holds {PLACEHOLDER}, which means a clip to LLaMA-Factory")
    return {
        "messages": [
            {"role": "user", "content": f"{PLACEHOLDER}{sample.question}"},
            {"role": "assistant", "content": target},
        ],
        "audios": [str(Path(sample.audio).resolve())],
    }


def make_arguments(recipe: Recipe, base: ModelCard, variant: Variant, out: Path) -> dict[str, Any]:
    """What `llamafactory-cli train` is told."""
    settings = recipe.settings
    method: dict[str, Any] = {"finetuning_type": "full"}
    if settings.method == "lora":
        method = {
            "finetuning_type": "lora",
            "lora_rank": settings.rank,
            "lora_alpha": settings.alpha,
            "lora_dropout": settings.dropout,
            # `all` would leave out the output layer. The encoder stays frozen by LLaMA-Factory's own default.
            "lora_target": "q_proj,k_proj,v_proj,o_proj,lm_head",
        }
    short = settings.dtype in ("auto", "bfloat16")
    return {
        "model_name_or_path": str(base.folder or base.repository),
        "stage": "sft",
        "do_train": True,
        **method,
        "dataset_dir": str(out.resolve()),
        "dataset": f"{variant}-train",
        "eval_dataset": f"{variant}-validation",
        "template": TEMPLATES[base.adapter],
        "cutoff_len": settings.max_tokens,
        "max_samples": settings.max_samples,
        "output_dir": str(out.resolve() / f"{recipe.model_name(variant)}"),
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.samples_per_step // settings.batch_size,
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "num_train_epochs": float(settings.epochs),
        "lr_scheduler_type": "cosine",
        "warmup_ratio": settings.warmup_share,
        "bf16": short,
        "seed": settings.seed,
        "per_device_eval_batch_size": 1,
        "eval_strategy": "steps",
        "eval_steps": 1 / (settings.epochs * settings.evaluations_per_epoch),
        "save_strategy": "steps",
        "save_steps": 1 / (settings.epochs * settings.evaluations_per_epoch),
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
        "early_stopping_steps": settings.patience,
        "logging_steps": 10,
        "report_to": "none",
    }
