"""A base and its LoRA → one checkpoint, which vLLM serves and every transformers loads without peft."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from serxbench import __version__
from serxbench.adapters import Loading, find_adapter
from serxbench.adapters.lora import Attached, hear_test_clip
from serxbench.catalog import ModelCard
from serxbench.errors import AdapterError, UsageError
from serxbench.progress import Progress
from serxbench.runs import LOCK, lock_folder
from serxbench.stages.models import LocatedModel, locate_model

#: How far merged and unmerged logits may lie apart, as a share of the largest. In float32 this is rounding; in the
#: shorter formats the two are rounded at other places, by as much as the base's own logits are off.
TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}

_FORMATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}

CONFIG = "config.json"

#: What a checkpoint is loaded with beside its weights: configuration, tokenizer, processor, chat template.
_COPIED = (".json", ".jinja", ".model", ".txt")


@dataclass(frozen=True, kw_only=True)
class Merged:
    """A merged checkpoint.

    largest_logit, effect, difference: of the first answer token for a test clip: the largest logit; the most that the
    adapter moves one; the most that merging and saving move one.
    """

    folder: Path
    card: Path
    dtype: str
    largest_logit: float
    effect: float
    difference: float
    tolerance: float


@dataclass(frozen=True, kw_only=True)
class MergeRequest:
    """What is merged.

    dtype: `auto` is what the base's card says, or the format of the base's files. cards: folders where the base's card
    may lie.
    """

    card: ModelCard
    device: str = "cpu"
    dtype: str = "auto"
    cards: tuple[Path, ...] = ()


def merge(request: MergeRequest, out: Path, progress: Progress) -> Merged:
    """The checkpoint in `out`, there as a whole or not at all, after it was loaded again and heard what it should.

    Raises UsageError if `out` is there already or the card is no adapter's, AdapterError if anything is not as it was.
    """
    if request.card.adapter != "lora":
        raise UsageError(
            f"'{request.card.name}' is no LoRA (its adapter is '{request.card.adapter}'); nothing to merge"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is there already; give another --out, or delete it")
    model = locate_model(request.card, request.cards)
    assert model.base is not None
    # A base whose card is particular about the format is merged in that one, as a run would.
    asked = request.dtype if request.dtype != "auto" else model.base.card.dtype
    dtype = _dtype(asked, model.base.checkpoint.folder)
    progress.say(f"merging {model.card.name} into {model.base.card.name} in {dtype}")
    with _whole_or_not(out) as unfinished:
        loading = replace(model.loading(request.device, dtype), settings={})
        heard = _write(loading, unfinished)
        found = _verify(loading, unfinished, heard)
        card = unfinished / f"{out.resolve().name}.md"
        text = _card_text(out.resolve().name, model, found, asked)
        card.write_text(text, encoding="utf-8")
    return replace(found, folder=out, card=out / card.name)


def _write(loading: Loading, folder: Path) -> tuple[Any, Any]:
    """Writes weights and files into `folder`. The logits of the base, and with the LoRA beside it."""
    assert loading.base is not None
    attached = Attached(loading)
    beside = attached.hear()
    attached.merge()
    attached.check_effect()
    attached.save(folder)
    _copy_files(loading.base.loading.folder, folder, loading.dtype)
    return attached.logits_of_base, beside


def _copy_files(base: Path, folder: Path, dtype: str) -> None:
    """Copies what lies beside the base's weights into `folder`."""
    for path in sorted(base.iterdir()):
        if path.suffix in _COPIED and path.is_file() and path.name != CONFIG and not path.name.endswith(".index.json"):
            shutil.copyfile(path, folder / path.name)
    if _tensors(base).keys() == _tensors(folder).keys():
        # The same architecture under the same names: the base's own configuration serves older releases too.
        config = json.loads((base / CONFIG).read_text(encoding="utf-8"))
        config.update({key: dtype for key in ("dtype", "torch_dtype") if key in config})
        (folder / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _tensors(folder: Path) -> dict[str, str]:
    """Name → number format, of the weights in the folder's safetensors files."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header: Mapping[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        found.update({name: tensor["dtype"] for name, tensor in header.items() if name != "__metadata__"})
    return found


def _verify(loading: Loading, folder: Path, heard: tuple[Any, Any]) -> Merged:
    """What became of the logits, after loading the checkpoint as a run would. Raises AdapterError if they changed."""
    assert loading.base is not None
    gc.collect()  # the model that was saved is as large as the one to come
    base = loading.base
    again = find_adapter(base.adapter).load(
        replace(base.loading, folder=folder, prompt_style=loading.prompt_style, device=loading.device)
    )
    logits = hear_test_clip(again)
    of_base, beside = heard
    largest, difference = float(abs(beside).max()), float(abs(logits - beside).max())
    tolerance = TOLERANCES[loading.dtype]
    if not difference <= tolerance * largest:
        raise AdapterError(
            f"{loading.folder}: the merged checkpoint does not answer like base and adapter: a logit differs by "
            f"{difference:.3g}; at most {tolerance * largest:.3g} is rounding in {loading.dtype}. It was deleted"
        )
    return Merged(
        folder=folder,
        card=folder,
        dtype=loading.dtype,
        largest_logit=largest,
        effect=float(abs(beside - of_base).max()),
        difference=difference,
        tolerance=tolerance * largest,
    )


@contextlib.contextmanager
def _whole_or_not(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes `out` at the end, and is deleted if anything is raised."""
    unfinished = out.resolve().with_name(f".{out.resolve().name}.unfinished")
    with lock_folder(unfinished):
        try:
            for left in unfinished.iterdir():  # by a process that was killed
                if left.name != LOCK:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield unfinished
            for path in unfinished.iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            (unfinished / LOCK).unlink()
            unfinished.replace(out.resolve())
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _dtype(asked: str, base: Path) -> str:
    """The number format to save in; `auto` is that of most of the base's weights. Raises UsageError."""
    if asked != "auto":
        if asked not in TOLERANCES:
            raise UsageError(f"dtype '{asked}': wanted one of auto, {', '.join(TOLERANCES)}")
        return asked
    found = Counter(_tensors(base).values()).most_common(1)
    if not found or found[0][0] not in _FORMATS:
        holds = found[0][0] if found else "no safetensors"
        raise UsageError(f"{base}: holds {holds}; give --dtype {'|'.join(TOLERANCES)}")
    return _FORMATS[found[0][0]]


def _card_text(name: str, model: LocatedModel, found: Merged, dtype: str) -> str:
    """The card of the merged checkpoint. dtype: in which it is run."""
    assert model.base is not None
    card, base = model.card, model.base.card
    fields: dict[str, Any] = {
        "name": name,
        "display_name": card.display_name or card.name,
        "adapter": base.adapter,
        "repository": ".",
        "dtype": dtype,
        "prompt_style": card.prompt_style,
        "max_audio_seconds": base.max_audio_seconds,
        "memory_gib": base.memory_gib,
        "parameters": base.parameters,
        "licence": base.licence if card.licence == base.licence else f"base: {base.licence}; adapter: {card.licence}",
        "licence_limits": "; ".join(
            sorted({limits for limits in (base.licence_limits, card.licence_limits) if limits})
        ),
        "family": base.family,
        "citation": card.citation or base.citation,
        "settings": dict(base.settings),
    }
    front = yaml.safe_dump({key: value for key, value in fields.items() if value}, sort_keys=False, allow_unicode=True)
    versions = ", ".join(f"{package} {version(package)}" for package in ("peft", "transformers", "torch"))
    return f"""---
{front}---
A LoRA merged into its base in {found.dtype} by serxbench {__version__} ({versions}).

- base: {_source(model.base)}
- adapter: {_source(model)}
- For a test clip, the adapter moves a logit of the first answer token by up to {found.effect:.3g} (the largest is
  {found.largest_logit:.3g}); merging and saving move one by up to {found.difference:.2g}.
- The prompt it was trained with is `{card.prompt_style}`; ask it with this card, not with the weights alone.
"""


def _source(model: LocatedModel) -> str:
    """Which weights they are, without a path of this machine."""
    repository = model.card.repository if model.card.folder is None else model.card.name
    return f"{repository}, revision {model.checkpoint.revision}"
