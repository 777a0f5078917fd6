"""What is trained on, and how: a YAML file.

    name: my-recipe
    base: q2a                          # a model card, or a checkpoint folder
    prompts: [open]                    # each sample is asked one of them
    held_out: [crema-d, iemocap]       # tested on, beside every test and development split below
    corpora:
      - data: msp-podcast:train        # as --data takes it; its folder comes from --data-root or serxbench.toml
        rationales: rationales/msp-podcast.jsonl    # beside this file; absent: only without-reason can be made
        labels: [Angry, Sad]           # only these classes; all if absent
        whole: true                    # its test and development items too, for none of it will ever be tested on
    models: {with-reason: my-model}    # the names of the trained models; NAME-VARIANT if absent
    settings: {epochs: 2}              # of Settings, where another value than its default is wanted

Without the block `settings` the training is that of arXiv 2509.24187. Paths are relative to the file, and those of an
embedded recipe to the current folder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from serxbench.catalog import embedded_folder
from serxbench.emotions import EMOTIONS
from serxbench.errors import DefinitionError, UnknownName, UsageError, nearest
from serxbench.sft.targets import VARIANTS

Method = Literal["lora", "full"]

METHODS: tuple[Method, ...] = get_args(Method)

_FORMATS = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How it is trained. The defaults are those of arXiv 2509.24187; what the paper leaves open is marked.

    method: `lora` on the attention and the output layer of the language model, or `full` for all weights.
    batch_size: samples that go through the model together, on each device. samples_per_step: behind each update of the
    weights, on all devices together, so that their number changes nothing. max_samples: after shuffling.
    weight_decay (open): of the weights that learn. max_grad_norm (open): the gradient is cut to this length.
    validation_share (open): of the samples, given up speaker by speaker. evaluations_per_epoch, patience (open): the
    training ends after so many evaluations without a lower validation loss; the weights with the lowest are kept.
    save_every: steps between checkpoints. speeds: playing speeds of the training clips, one drawn for each sample and
    epoch. dtype: of the frozen weights; `auto` is bfloat16 on a GPU. What learns is kept in float32. stored_as: number
    format of the file of a `full` model; `auto` is the base's.
    """

    method: Method = "lora"
    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0
    learning_rate: float = 1e-5
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    epochs: int = 2
    batch_size: int = 1
    samples_per_step: int = 8
    max_samples: int = 15_000
    max_tokens: int = 2_048
    validation_share: float = 0.05
    evaluations_per_epoch: int = 4
    patience: int = 3
    save_every: int = 50
    gradient_checkpointing: bool = False
    speeds: tuple[float, ...] = (1.0,)
    dtype: str = "auto"
    stored_as: str = "auto"
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Source:
    """One corpus of the pool. data: as `--data` takes it. labels: the classes that are taken. whole: with its test and
    development items, for a corpus without official splits that nothing will be tested on.
    """

    data: str
    rationales: Path | None = None
    labels: tuple[str, ...] = EMOTIONS
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe, read and checked. held_out: what may not be trained on, as `--data` takes it."""

    name: str
    base: str
    sources: tuple[Source, ...]
    prompts: tuple[str, ...] = ("open",)
    held_out: tuple[str, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    path: Path = Path()

    def model_name(self, variant: str) -> str:
        """What the model of a variant is called."""
        return self.models.get(variant, f"{self.name}-{variant}")


def list_recipes() -> dict[str, Path]:
    """Name → file of the embedded recipes."""
    return {path.stem: path for path in sorted(embedded_folder("recipes").glob("*.yaml"))}


def read_recipe(recipe: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of that name, or in that file. changes: settings that replace the file's.

    Raises UnknownName, UsageError or DefinitionError.
    """
    known, path = list_recipes(), Path(recipe).expanduser()
    base = path.parent
    if recipe in known:
        path, base = known[recipe], Path()
    elif not path.is_file():
        if path.suffix in (".yaml", ".yml") or "/" in recipe:
            raise UsageError(f"{recipe}: no such file (a recipe was wanted)")
        raise UnknownName("recipe", recipe, known)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: not valid YAML ({error})") from error
    fields = _mapping(content, ("name", "base", "corpora"), _KEYS, str(path))
    settings = {**(fields.get("settings") or {}), **(changes or {})}
    return Recipe(
        name=_text(fields, "name", path),
        base=_base(_text(fields, "base", path), base),
        sources=tuple(_source(row, path, base) for row in _list(fields, "corpora", path)),
        prompts=tuple(_texts(fields, "prompts", path)) or ("open",),
        held_out=tuple(_texts(fields, "held_out", path)),
        models=_models(fields.get("models") or {}, path),
        settings=make_settings(settings, str(path)),
        path=path,
    )


_KEYS = ("name", "base", "corpora", "prompts", "held_out", "models", "settings")


def make_settings(given: Mapping[str, Any], where: str) -> Settings:
    """Settings with these values, checked. Raises DefinitionError naming `where`."""
    types = {each.name: each for each in dataclasses.fields(Settings)}
    _mapping(given, (), tuple(types), f"{where}: settings")
    values: dict[str, Any] = {}
    for name, value in given.items():
        default = types[name].default
        values[name] = tuple(value) if isinstance(default, tuple) and isinstance(value, (list, tuple)) else value
        accepted = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(values[name], accepted) or isinstance(value, bool) != isinstance(default, bool):
            hint = "; YAML reads 1e-5 as text, write 1.0e-5" if isinstance(default, float) else ""
            raise DefinitionError(f"{where}: {name} must be of type {type(default).__name__}; found {value!r}{hint}")
    settings = Settings(**values)
    if fault := _fault(settings):
        raise DefinitionError(f"{where}: {fault}")
    return settings


def _fault(settings: Settings) -> str | None:
    """What is wrong with the values, if anything is."""
    if settings.method not in METHODS:
        return f"method must be one of {', '.join(METHODS)}; found {settings.method!r}"
    for name in (
        "rank",
        "alpha",
        "epochs",
        "batch_size",
        "samples_per_step",
        "max_samples",
        "max_tokens",
        "save_every",
    ):
        if getattr(settings, name) < 1:
            return f"{name} must be at least 1; found {getattr(settings, name)}"
    if min(settings.patience, settings.evaluations_per_epoch) < 1:
        return "patience and evaluations_per_epoch must be at least 1"
    if min(settings.learning_rate, settings.max_grad_norm) <= 0 or settings.weight_decay < 0:
        return "learning_rate and max_grad_norm must be above 0, weight_decay at least 0"
    if not (0 <= settings.warmup_share < 1 and 0 <= settings.dropout < 1 and 0 < settings.validation_share < 1):
        return "warmup_share and dropout must lie in [0, 1), validation_share between 0 and 1"
    if settings.samples_per_step % settings.batch_size:
        return (
            f"samples_per_step ({settings.samples_per_step}) must be a multiple of batch_size ({settings.batch_size})"
        )
    if not settings.speeds or not all(isinstance(s, (int, float)) and 0.5 <= s <= 2 for s in settings.speeds):
        return f"speeds must be numbers from 0.5 to 2; found {list(settings.speeds)}"
    for name in ("dtype", "stored_as"):
        if getattr(settings, name) not in _FORMATS:
            return f"{name} must be one of {', '.join(_FORMATS)}; found {getattr(settings, name)!r}"
    return None


def _base(base: str, beside: Path) -> str:
    """A folder is looked for beside the recipe; anything else is a card's name."""
    folder = beside / Path(base).expanduser()
    return str(folder) if "/" in base and folder.exists() else base


def _source(row: Any, path: Path, beside: Path) -> Source:
    fields = _mapping(row, ("data",), ("data", "rationales", "labels", "whole"), f"{path}: corpora")
    if not isinstance(fields.get("whole", False), bool):
        raise DefinitionError(f"{path}: 'whole' must be true or false; found {fields['whole']!r}")
    labels = tuple(_texts(fields, "labels", path)) or EMOTIONS
    if unknown := [label for label in labels if label not in EMOTIONS]:
        raise DefinitionError(f"{path}: {UnknownName('class', unknown[0], EMOTIONS)}")
    rationales = fields.get("rationales")
    if rationales is not None and not isinstance(rationales, str):
        raise DefinitionError(f"{path}: 'rationales' must be a path; found {rationales!r}")
    file = beside / Path(rationales).expanduser() if rationales else None
    return Source(data=_text(fields, "data", path), rationales=file, labels=labels, whole=fields.get("whole", False))


def _models(given: Any, path: Path) -> dict[str, str]:
    models = _mapping(given, (), VARIANTS, f"{path}: models")
    for variant, name in models.items():
        if not isinstance(name, str) or not name or Path(name).name != name:
            raise DefinitionError(f"{path}: models: {variant} must be a name; found {name!r}")
    return dict(models)


def _mapping(value: Any, required: Sequence[str], known: Sequence[str], where: str) -> dict[str, Any]:
    """`value` if it is a mapping with all required keys and no unknown one. Raises DefinitionError."""
    if not isinstance(value, Mapping):
        raise DefinitionError(f"{where}: 'key: value' lines were wanted; found {type(value).__name__}")
    for key in value:
        if key not in known:
            near = nearest(str(key), known)
            hint = f"did you mean '{near}'?" if near else f"known keys: {', '.join(known)}"
            raise DefinitionError(f"{where}: unknown key '{key}'; {hint}")
    if missing := [key for key in required if not value.get(key)]:
        raise DefinitionError(f"{where}: missing key '{missing[0]}'")
    return dict(value)


def _text(fields: Mapping[str, Any], key: str, path: Path) -> str:
    if not isinstance(fields[key], str):
        raise DefinitionError(f"{path}: '{key}' must be text; found {fields[key]!r}")
    return str(fields[key])


def _list(fields: Mapping[str, Any], key: str, path: Path) -> list[Any]:
    value = fields.get(key) or []
    if not isinstance(value, list):
        raise DefinitionError(f"{path}: '{key}' must be a list; found {value!r}")
    return value


def _texts(fields: Mapping[str, Any], key: str, path: Path) -> list[str]:
    values = _list(fields, key, path)
    if odd := [value for value in values if not isinstance(value, str)]:
        raise DefinitionError(f"{path}: '{key}' must be a list of texts; found {odd[0]!r}")
    return values
