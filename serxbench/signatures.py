"""The signature of a run: everything that moves its scores, short enough to print beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from serxbench.runs import RunManifest

#: Parts that say who was asked what. Two systems differ in them by nature; in every other part they should not.
OF_THE_SYSTEM = ("model", "settings", "control", "prompt", "corpus", "split", "revision", "n", "limit")


def signature_of(
    manifest: RunManifest, *, parser: Mapping[str, Any], clusterer: Mapping[str, Any], references: str
) -> dict[str, str]:
    """Part → value, in the order in which it is printed. Hashes are shortened to 8 hex digits."""
    corpus, engine = manifest.corpus, manifest.engine
    return {
        "model": _model(manifest.model),
        **({"settings": _hash(json.dumps(settings, sort_keys=True))} if (settings := _settings(manifest)) else {}),
        **({"control": manifest.control} if manifest.control else {}),
        "prompt": f"{manifest.prompt['name']}@{_short(manifest.prompt['sha256'])}"
        if manifest.prompt
        else _form(manifest),
        "corpus": str(corpus["name"]),
        "split": str(corpus.get("split") or "n/a"),
        "revision": _short(corpus["revision"]),
        "n": str(corpus["n"]),
        "limit": str(corpus.get("limit") or "none"),
        "labels": f"{len(corpus['labels'])}@{_hash('|'.join(corpus['labels']))}",
        "references": references,
        "parser": f"{parser['parser']}@{_short(parser['sha256'])}",
        "clusterer": f"{clusterer['clusterer']}@{_short(clusterer['sha256'])}",
        "decoding": _decoding(manifest.decoding),
        "backend": _backend(engine),
        "dtype": str(engine.get("dtype", "n/a")),
        "device": str(engine.get("device", "n/a")),
        "batch": str(engine.get("batch_size", "n/a")),
        "serxbench": manifest.serxbench,
    }


def _model(model: Mapping[str, Any]) -> str:
    """name@revision, `+` the model it builds on, `/` the prompt style where it is not the usual one."""
    own = f"{model['name']}@{_short(model.get('revision'))}"
    base = f"+{_model(model['base'])}" if model.get("base") else ""
    style = model.get("prompt_style")
    return f"{own}{base}{f'/{style}' if style not in (None, 'chat') else ''}"


def _settings(manifest: RunManifest) -> list[Any]:
    """What the card and its base say beyond the weights (number of beams, label maps, other parts' revisions)."""
    models = [manifest.model, manifest.model.get("base") or {}]
    return [
        {key: model[key] for key in ("settings", "revision") if key in model} for model in models if "settings" in model
    ]


def signature_text(signature: Mapping[str, str]) -> str:
    """One line: `model:nano@1f2e…|prompt:open@…|…`."""
    return "|".join(f"{part}:{value}" for part, value in signature.items())


def differing_parts(signature: Mapping[str, str], reference: Mapping[str, str]) -> list[str]:
    """The parts, beyond who was asked what, in which two signatures differ."""
    parts = [part for part in reference if part not in OF_THE_SYSTEM]
    return [part for part in parts if signature.get(part) != reference[part]]


def _backend(engine: Mapping[str, Any]) -> str:
    versions = engine.get("versions", {})
    computing = [f"{name}-{versions[name]}" for name in ("vllm", "transformers", "torch") if name in versions]
    told = ("model", "server", "decode", "thinking_budget", "attention", "cache")
    served = [str(engine[key]) for key in told if engine.get(key)]
    return "+".join(
        [*([] if engine["backend"] == "transformers" and computing else [engine["backend"]]), *served, *computing]
    )


def _form(manifest: RunManifest) -> str:
    return f"{manifest.mode}{'-cot' if manifest.cot else ''}@elsewhere"


def _decoding(decoding: Mapping[str, Any] | None) -> str:
    if decoding is None:
        return "n/a"
    if not decoding["temperature"]:
        return f"greedy-{decoding['max_new_tokens']}"
    return f"t{decoding['temperature']:g}-{decoding['max_new_tokens']}-seed{decoding['seed']}"


def _short(sha256: object) -> str:
    return "n/a" if sha256 is None else str(sha256).removeprefix("sha256:")[:8]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
