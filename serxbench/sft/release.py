"""A trained model as a folder that `serxbench run --model FOLDER` takes: weights, card, and how it was made."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from serxbench import __version__
from serxbench.catalog import ModelCard

#: How the model was made, for machines; the card says it for people.
FACTS = "sft.json"

_VARIANTS = {
    "with-reason": "<asr> … </asr><answer> I think the emotion is … </answer><reason> … </reason>",
    "without-reason": "<asr> … </asr><answer> I think the emotion is … </answer>",
}


@dataclass(frozen=True, kw_only=True)
class Made:
    """How a model was made. base: its card. facts: all that decides its weights, and what came out; see FACTS."""

    name: str
    base: ModelCard
    facts: Mapping[str, Any]

    def write_card(self, folder: Path) -> None:
        """Writes the card and the facts into the model's folder."""
        (folder / FACTS).write_text(json.dumps(self.facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / f"{self.name}.md").write_text(_card_text(self), encoding="utf-8")
        for file in folder.iterdir():  # safetensors are written for their owner alone
            file.chmod(0o644)


def _card_text(made: Made) -> str:
    base, facts = made.base, made.facts
    is_lora = facts["settings"]["method"] == "lora"
    teachers: list[str] = facts.get("teachers", [])
    fields: dict[str, Any] = {
        "name": made.name,
        "adapter": "lora" if is_lora else base.adapter,
        "base": _name_of(base) if is_lora else None,
        "repository": ".",
        "dtype": base.dtype,
        "prompt_style": base.prompt_style,
        "max_audio_seconds": base.max_audio_seconds,
        "memory_gib": base.memory_gib,
        "parameters": base.parameters,
        "licence": f"base: {base.licence}; trained on {_licences(facts)}",
        "licence_limits": base.licence_limits,
        "family": base.family,
        # A card names one; a judge of its family is warned about.
        "teacher": teachers[0] if len(teachers) == 1 else None,
        "settings": None if is_lora else dict(base.settings),
    }
    front = yaml.safe_dump(
        {key: value for key, value in fields.items() if value}, sort_keys=False, allow_unicode=True, width=1000
    )
    return f"---\n{front}---\n{_prose(made)}"


def _name_of(base: ModelCard) -> str:
    """With which word a run finds the base: its card's name, or the path of a folder without a card."""
    return base.name if base.path is not None and base.repository != "." else str(base.folder or base.repository)


def _licences(facts: Mapping[str, Any]) -> str:
    corpora = facts["data"]["corpora"]
    return ", ".join(f"{name} ({licence})" for name, licence in {c["name"]: c["licence"] for c in corpora}.items())


def _prose(made: Made) -> str:
    facts, settings, samples = made.facts, made.facts["settings"], made.facts["samples"]
    outcome, versions = made.facts["outcome"], ", ".join(f"{n} {v}" for n, v in facts["packages"].items())
    how = (
        f"LoRA of rank {settings['rank']}, alpha {settings['alpha']}, on `{facts['modules']}`"
        if settings["method"] == "lora"
        else "all weights"
    )
    corpora = ", ".join(
        f"{c['name']}{':' + c['split'] if c['split'] else ''} (revision {c['revision'][:8]})"
        for c in facts["data"]["corpora"]
    )
    left_out = sum(n for reasons in samples["left_out"].values() for n in reasons.values())
    base, n_clips = facts["base"], samples["n_held_out_clips"]
    lines = [
        f"`{base['name']}` fine-tuned by serxbench {__version__}, variant {facts['variant']}.",
        f"- The answers it was trained on: `{_VARIANTS[facts['variant']]}`.",
        *([f"- Rationales by: {', '.join(facts['teachers'])}."] if "teachers" in facts else []),
        f"- Base: {base['name']}, revision {base['revision']}; prompt style `{base['prompt_style']}`.",
        f"- Trained: {how}: {outcome['n_learning']:,} of {outcome['n_weights']:,} weights.",
        f"- Data: {corpora}. {samples['n_train']} samples ({samples['hours']:g} h), and {samples['n_validation']} of "
        f"other speakers for validation; {left_out} left out.",
        f"- Compared by id and by sound with {n_clips} clips of evaluation splits, none of which is among the samples. "
        f"Hash of the samples: {samples['samples_sha256']}.",
        f"- Learning rate {settings['learning_rate']:g}, cosine after {100 * settings['warmup_share']:g} % warm-up; "
        f"weight decay {settings['weight_decay']:g}; {settings['samples_per_step']} samples a step; at most "
        f"{settings['epochs']} epochs; seed {settings['seed']}; {facts['device']}, {settings['dtype']}.",
        f"- {outcome['steps']} of {outcome['n_steps']} steps were done. These are the weights of step "
        f"{outcome['best_step']}, whose validation loss is {outcome['validation_loss']:.4f} a token.",
        f"- {versions}. Everything else: `{FACTS}`.",
    ]
    title, *lines = lines
    return f"{title}\n\n" + "".join(
        textwrap.fill(line, 120, subsequent_indent="  ", break_long_words=False) + "\n" for line in lines
    )
