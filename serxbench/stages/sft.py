"""A recipe → fine-tuned models, one for each variant, over the same samples in the same order."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from serxbench import __version__
from serxbench.adapters import Loading, find_adapter
from serxbench.catalog import ModelCard
from serxbench.checkpoints import NO_WEIGHTS
from serxbench.errors import RunError, UsageError
from serxbench.hashing import hash_folder
from serxbench.progress import Progress, Silent
from serxbench.runs import lock_folder, write_atomically
from serxbench.sft.export import export_llamafactory
from serxbench.sft.folders import write_folder
from serxbench.sft.limits import Limits
from serxbench.sft.pool import Opened, RootOf, build_pool, open_recipe
from serxbench.sft.recipe import Recipe
from serxbench.sft.release import Made
from serxbench.sft.samples import Part, Pool, read_samples, write_samples
from serxbench.sft.targets import Variant
from serxbench.stages.backends import choose_device, choose_dtype
from serxbench.stages.models import LocatedModel, locate_model

DATA = "data"
SAMPLES = "samples.jsonl"
MADE_FROM = "made_from.json"
TRAINING = "training.json"
FINISHED = "finished.json"

#: For whom samples can be exported, and how.
FORMATS = {"llamafactory": export_llamafactory}

_PACKAGES = ("torch", "transformers", "accelerate", "peft")


@dataclass(frozen=True, kw_only=True)
class SftRequest:
    """What is trained. base: the card of the model that it starts from. cards: folders where cards may lie."""

    recipe: Recipe
    base: ModelCard
    variants: tuple[Variant, ...]
    root_of: RootOf
    device: str = "auto"
    cards: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained model. folder: what `serxbench run --model` takes. outcome: steps, losses, weights that learnt."""

    variant: Variant
    folder: Path
    outcome: Mapping[str, Any]


def make_samples(request: SftRequest, out: Path, progress: Progress) -> tuple[Opened, Pool]:
    """The samples in `out/data`, built if they are not there. Raises RunError if they are those of another recipe."""
    model = _locate(request)
    opened = open_recipe(request.recipe, request.variants, request.root_of)
    for corpus in (*(corpus for _, corpus, _ in opened.sources), *opened.held_out):
        for remark in corpus.remarks:
            progress.say(remark)
    # What each sample's length is measured with counts: another tokenizer may leave out others.
    made_from = _plain({**opened.describe(), "base": model.describe()})
    folder = out / DATA
    if (folder / MADE_FROM).is_file():
        known = json.loads((folder / MADE_FROM).read_text(encoding="utf-8"))
        if changed := sorted(key for key in made_from.keys() | known.keys() if known.get(key) != made_from.get(key)):
            raise RunError(
                f"{out}: was begun with other {', '.join(changed)}; give another --out, or delete the folder"
            )
        return opened, read_samples((folder / SAMPLES).read_text(encoding="utf-8"))
    limits = Limits(model.card.adapter, model.loading("cpu", "float32"), request.recipe.settings)
    pool = build_pool(opened, limits, progress)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / SAMPLES, write_samples(pool))
    write_atomically(folder / MADE_FROM, json.dumps(made_from, indent=1, ensure_ascii=False))
    return opened, pool


def sft(request: SftRequest, out: Path, progress: Progress) -> list[Trained]:
    """The trained models below `out`; what an earlier process finished is kept, and what it began goes on.

    Under `accelerate launch` each process calls it; the first one writes, and the others return nothing.
    Raises UsageError, RunError, AdapterError.
    """
    device = choose_device(request.device)
    request = replace(request, recipe=_with_dtype(request.recipe, device))
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=device == "cpu")
    main = accelerator.is_main_process
    with lock_folder(out) if main else contextlib.nullcontext():
        with _in_turn(accelerator):
            opened, pool = make_samples(request, out, progress if main else Silent())
        trained = [_train(request, variant, (opened, pool), out, accelerator, progress) for variant in request.variants]
    return trained if main else []


def export_samples(request: SftRequest, format: str, out: Path, progress: Progress) -> list[Path]:
    """The samples of a recipe in another trainer's format; the files written."""
    with lock_folder(out):
        _, pool = make_samples(request, out, progress)
        parts = {part: pool.part(part) for part in get_args(Part)}
        return FORMATS[format](request.recipe, request.base, parts, request.variants, out)


@contextlib.contextmanager
def _in_turn(accelerator: Any) -> Iterator[None]:
    """First the main process, then the others, which find what it made."""
    with accelerator.main_process_first():
        yield


def _train(
    request: SftRequest,
    variant: Variant,
    data: tuple[Opened, Pool],
    out: Path,
    accelerator: Any,
    progress: Progress,
) -> Trained:
    """One variant's model, trained or found finished."""
    recipe, (opened, pool), folder = request.recipe, data, out / variant
    if not accelerator.is_main_process:
        progress = Silent()
    model = _locate(request)
    facts = _plain(_facts(request, variant, model, (opened, pool), accelerator))
    target = out / recipe.model_name(variant)
    _check_same(folder, facts, accelerator)
    if finished := _read_finished(folder, target):
        progress.say(f"{target}: is trained already")
        return Trained(variant=variant, folder=target, outcome=finished["outcome"])
    outcome = _learn(request, variant, model, (pool, folder), accelerator, progress)
    if accelerator.is_main_process:
        trainee, found = outcome
        made = Made(name=target.name, base=model.card, facts={**facts, "outcome": found})

        def write(unfinished: Path) -> None:
            hub = model.card.repository if model.card.folder is None else model.card.name
            trainee.save(unfinished, hub, model.checkpoint.folder)
            made.write_card(unfinished)

        write_folder(target, write)
        finished = {"model": hash_folder(target), "outcome": found}
        write_atomically(folder / FINISHED, json.dumps(finished, indent=1))
    accelerator.wait_for_everyone()
    found = outcome[1]
    del outcome
    gc.collect()  # the next variant's model is as large
    return Trained(variant=variant, folder=target, outcome=found)


def _learn(
    request: SftRequest,
    variant: Variant,
    model: LocatedModel,
    place: tuple[Pool, Path],
    accelerator: Any,
    progress: Progress,
) -> tuple[Any, dict[str, Any]]:
    """The model with the weights of its best evaluation, and how it got them."""
    from serxbench.sft.loop import Devices, Task, train
    from serxbench.sft.trainee import load_trainee

    (pool, folder), settings = place, request.recipe.settings
    loading: Loading = model.loading(str(accelerator.device), settings.dtype)
    trainee = load_trainee(model.card.adapter, loading, settings)
    task = Task(train=pool.part("train"), validation=pool.part("validation"), variant=variant, settings=settings)
    n_learning = sum(parameter.numel() for parameter in trainee.trainable.values())
    progress.say(
        f"{variant}: {n_learning:,} of {trainee.n_weights:,} weights learn; {len(task.train)} samples, "
        f"{len(task.validation)} for validation, {task.n_steps} steps"
    )
    if settings.method == "lora":
        for kind in _list_kinds(trainee.trainable):
            progress.say(f"{variant}: learns {kind}")
    state = train(trainee, Devices(accelerator, trainee), task, folder, progress)
    assert state.best is not None
    return trainee, {
        "n_learning": n_learning,
        "n_weights": trainee.n_weights,
        "parameters": sorted(trainee.trainable),
        "n_steps": task.n_steps,
        "steps": state.step,
        "best_step": state.best[0],
        "validation_loss": state.best[1],
        "evaluations": [list(each) for each in state.evaluations],
        "processes": accelerator.num_processes,
    }


def _list_kinds(names: Iterable[str]) -> list[str]:
    """The names of parameters with their layers' numbers brought together.

    >>> _list_kinds(["layers.0.q.weight", "layers.1.q.weight", "lm_head.weight"])
    ['layers.*.q.weight (2)', 'lm_head.weight']
    """
    kinds = Counter(re.sub(r"\.\d+\.", ".*.", name) for name in names)
    return [f"{kind} ({count})" if count > 1 else kind for kind, count in sorted(kinds.items())]


def _locate(request: SftRequest) -> LocatedModel:
    """The base with its checkpoint. Raises UsageError for one that nothing can be trained on."""
    card = request.base
    if card.base is not None or card.repository == NO_WEIGHTS or card.environment is not None or card.hosted:
        raise UsageError(
            f"'{card.name}' cannot be fine-tuned here: a checkpoint with weights of its own, of a family that runs in "
            "this process, was wanted (a LoRA is made one by `serxbench merge`)"
        )
    return locate_model(card, request.cards)


def _facts(
    request: SftRequest, variant: Variant, model: LocatedModel, data: tuple[Opened, Pool], accelerator: Any
) -> dict[str, Any]:
    """All that decides the weights, and nothing else: no path, no time."""
    opened, pool = data
    settings = request.recipe.settings
    teachers = opened.teachers if variant == "with-reason" else []
    return {
        "serxbench": __version__,
        "variant": variant,
        "base": model.describe(),
        "settings": dataclasses.asdict(settings),
        "modules": find_adapter(model.card.adapter).LORA_MODULES if settings.method == "lora" else None,
        "data": opened.describe(),
        "samples": pool.describe(),
        **({"teachers": teachers} if teachers else {}),
        "device": accelerator.device.type,
        "packages": {package: version(package) for package in _PACKAGES},
    }


def _check_same(folder: Path, facts: Mapping[str, Any], accelerator: Any) -> None:
    """Writes what is trained into a new folder. Raises RunError, naming what differs, if it holds another training."""
    path = folder / TRAINING
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        if changed := sorted(key for key in facts.keys() | known.keys() if known.get(key) != facts.get(key)):
            raise RunError(f"{folder}: was begun with other {', '.join(changed)}; give another --out, or delete it")
    elif accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(facts, indent=1, ensure_ascii=False))


def _read_finished(folder: Path, target: Path) -> dict[str, Any] | None:
    """What was noted when the model in `target` was finished; None if it is not, or is another by now."""
    path = folder / FINISHED
    if not path.is_file() or not target.is_dir():
        return None
    finished: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return finished if finished["model"] == hash_folder(target) else None


def _with_dtype(recipe: Recipe, device: str) -> Recipe:
    dtype = choose_dtype(recipe.settings.dtype, "auto", device)
    if dtype == "float16":
        raise UsageError(f"{recipe.path}: dtype float16 cannot be trained in here; bfloat16 or float32")
    return replace(recipe, settings=replace(recipe.settings, dtype=dtype))


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """The value as JSON gives it back, so that it can be compared with what was written."""
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain
