"""Names → definitions: model cards and prompts, embedded or in a user's own folders."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from serxbench.definitions import Definition, check_fields, read_definition
from serxbench.emotions import options_of
from serxbench.errors import DefinitionError, UnknownName, UsageError
from serxbench.records import Prompt

Mode = Literal["open", "closed"]

MODES: tuple[Mode, ...] = get_args(Mode)

_PACKAGE = Path(__file__).parent

_CARD_REQUIRED = {"name": str, "adapter": str, "repository": str, "licence": str}
_CARD_OPTIONAL = {
    "revision": str,
    "dtype": str,
    "prompt_style": str,
    "max_audio_seconds": float,
    "memory_gib": float,
    "parameters": str,
    "licence_limits": str,
    "family": str,
    "display_name": str,
    "citation": str,
    "base": str,
    "teacher": str,
    "environment": dict,
    "hosted": bool,
    "settings": dict,
}
_PROMPT_REQUIRED = {"name": str, "version": int, "task": str, "source": str}
_PROMPT_OPTIONAL = {"mode": str, "cot": bool, "variables": list}
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What it takes to load one model, and what a user must know before using it.

    repository: a hub id, or a folder; a relative folder is relative to the card's own file.
    revision: the pinned commit of the hub repository; None for a local folder, whose content hash stands for it.
    A card whose adapter has no weights says `none`.
    base: the card of the model that this one is an adapter of. teacher: the card of the model that wrote the rationales
    it was trained on. environment: what its own virtual environment holds, for
    a model whose code cannot live in this process. hosted: the audio is sent to somebody else's machine.
    dtype: `auto` means bfloat16 on a GPU and float32 on a CPU. settings: what only its adapter understands.
    """

    name: str
    adapter: str
    repository: str
    licence: str
    revision: str | None = None
    dtype: str = "auto"
    prompt_style: str = "chat"
    max_audio_seconds: float | None = None
    memory_gib: float | None = None
    parameters: str | None = None
    licence_limits: str | None = None
    family: str | None = None
    display_name: str | None = None
    citation: str | None = None
    base: str | None = None
    teacher: str | None = None
    environment: Mapping[str, Any] | None = None
    hosted: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""
    path: Path | None = None

    @property
    def folder(self) -> Path | None:
        """The checkpoint's folder if it lies on this machine's disk by path; None for a hub id."""
        base = self.path.parent if self.path else Path()
        candidate = (base / self.repository).expanduser()
        return candidate.resolve() if candidate.is_dir() else None


def embedded_folder(name: str) -> Path:
    """The folder of embedded definitions `name` (`model_cards`, `prompts`): in the wheel, or in a checkout."""
    in_wheel = _PACKAGE / name
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / name


def list_cards(folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Card name → file, of the embedded cards and of `folders`; a user's card hides an embedded one of its name."""
    return _list("model_cards", folders)


def list_prompts(folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Prompt name → file, like list_cards."""
    return _list("prompts", folders)


def _list(kind: str, folders: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in (embedded_folder(kind), *folders):
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder (a folder of {kind.replace('_', ' ')} was wanted)")
        found.update({path.stem: path for path in sorted(folder.glob("*.md")) if path.stem != "README"})
    return dict(sorted(found.items()))


def read_card(path: Path) -> ModelCard:
    """The card in the file `path`. Raises DefinitionError."""
    definition = read_definition(path)
    check_fields(definition, _CARD_REQUIRED, _CARD_OPTIONAL)
    if definition.fields["name"] != path.stem:
        raise DefinitionError(f"{path}: its name is '{definition.fields['name']}'; wanted the file's, '{path.stem}'")
    return ModelCard(**definition.fields, notes=definition.text, path=path)


def resolve_card(model: str, folders: Sequence[Path] = ()) -> ModelCard:
    """The card that `--model` means: a card's name, the path of a card, a checkpoint folder, or a LoRA's folder.

    A folder needs no card: a checkpoint's `config.json` names the architecture, which names the adapter; a LoRA's
    `adapter_config.json` names its base. A card in the folder that says `repository: .` comes first.
    Raises UnknownName, UsageError or DefinitionError.
    """
    cards = list_cards(folders)
    path = Path(model).expanduser()
    if model in cards:
        return _with_weights(read_card(cards[model]))
    if path.is_dir():
        return _card_in(path) or _card_of_lora(path, cards) or _card_of_checkpoint(path)
    if path.is_file():
        return _with_weights(read_card(path))
    if path.suffix == ".md" or model.startswith((".", "/", "~")):
        raise UsageError(f"{model}: no such file or folder (a model card or a checkpoint folder was wanted)")
    raise UnknownName("model card", model, cards, "serxbench models")


def _with_weights(card: ModelCard) -> ModelCard:
    """The card. Raises UsageError if it describes a system whose weights are not published."""
    if card.base is not None and card.repository == "none":
        raise UsageError(
            f"the weights of '{card.name}' are not published. With an adapter of your own: serxbench run --model "
            f"path/to/its/folder; or copy {card.path} to a folder of yours, write the adapter's folder or hub id "
            f"behind `repository:`, and add --cards FOLDER"
        )
    return card


def _card_in(folder: Path) -> ModelCard | None:
    """The card that lies among the files of a checkpoint and describes them; `serxbench merge` writes one."""
    for path in sorted(folder.glob("*.md")):
        with contextlib.suppress(DefinitionError):  # any other text
            if read_definition(path).fields.get("repository") == ".":
                return read_card(path)
    return None


def _card_of_lora(folder: Path, cards: Mapping[str, Path]) -> ModelCard | None:
    """The card of a LoRA without one: its base is the known card, or the folder, that it says it was trained on."""
    from serxbench.adapters import _lora_file as lora

    if not lora.is_lora_folder(folder):
        return None
    trained_on = lora.trained_on(folder)
    base = trained_on and _find_base(trained_on, cards)
    if not base:
        raise UsageError(
            f"{folder}: was trained on {trained_on!r}, no folder here and not the repository of just one card; "
            f"write a card: adapter: lora, base: CARD, repository: {folder.resolve()} (the cards: serxbench models)"
        )
    known = resolve_card(base, sorted({path.parent for path in cards.values()}))
    return dataclasses.replace(
        known,
        name=folder.resolve().name,
        display_name=None,
        adapter="lora",
        base=base,
        repository=str(folder.resolve()),
        revision=None,
        prompt_style=lora.prompt_style_of(folder) or known.prompt_style,
        licence="not stated (adapter folder without a card)",
        settings={},
        citation=None,
        notes="",
        path=None,
    )


def _find_base(trained_on: str, cards: Mapping[str, Path]) -> str | None:
    """The base that an adapter's configuration means: a card's name, or a folder on this machine."""
    from serxbench.adapters._lora_file import hub_id

    known = [card for card in map(read_card, cards.values()) if not card.base and card.repository != "none"]
    folder, hub = Path(trained_on).expanduser(), hub_id(trained_on)
    here = folder.resolve() if folder.is_dir() else None
    same = [card.name for card in known if hub and card.repository.casefold() == hub.casefold()]
    same = same or [card.name for card in known if here and card.folder == here] or ([str(here)] if here else [])
    # A path on the machine that trained it: its last part is the model's name there as here.
    same = same or [card.name for card in known if Path(card.repository).name.casefold() == folder.name.casefold()]
    return same[0] if len(same) == 1 else None


def _card_of_checkpoint(folder: Path) -> ModelCard:
    from serxbench.adapters import adapter_of_model_type

    config = folder / "config.json"
    if not config.is_file():
        raise UsageError(f"{folder}: has no config.json; a checkpoint folder written by save_pretrained was wanted")
    try:
        model_type = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{config}: is not a JSON object ({error})") from error
    return ModelCard(
        name=folder.resolve().name,
        adapter=adapter_of_model_type(model_type, config),
        repository=str(folder.resolve()),
        licence="not stated (checkpoint folder without a card)",
    )


def prompt_name(mode: Mode, cot: bool) -> str:
    """The name of the prompt for a mode: `open`, `closed`, `open-cot` or `closed-cot`."""
    return f"{mode}-cot" if cot else mode


def load_prompt(name: str, labels: tuple[str, ...], folders: Sequence[Path] = ()) -> Prompt:
    """The prompt `name` rendered for a corpus with these classes.

    `sha256` is the hash of the rendered text: two runs were asked the same if and only if it is equal.
    Raises UnknownName, or DefinitionError for unknown keys, undeclared or unused variables.
    """
    prompts = list_prompts(folders)
    if name not in prompts:
        raise UnknownName("prompt", name, prompts, "serxbench prompts")
    definition = read_prompt(prompts[name])
    options = options_of(labels)
    values = {"options": "\n".join(f"{letter}. {label}" for letter, label in options)}
    used = set(_VARIABLE.findall(definition.text))
    if unknown := sorted(used - set(values)):
        raise DefinitionError(f"{definition.path}: no value for {{{{{unknown[0]}}}}}; there are: {', '.join(values)}")
    text = _VARIABLE.sub(lambda match: values[match[1]], definition.text)
    return Prompt(
        name=name,
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        options=options if "options" in used else None,
    )


@dataclass(frozen=True, kw_only=True)
class Template:
    """A prompt with places for values, for everything that is asked anew for each item. sha256: of its text."""

    name: str
    version: int
    text: str
    sha256: str

    def fill(self, **values: str) -> str:
        """The text with its values; braces in a value are never read. ValueError if one is missing or unknown."""
        used = set(_VARIABLE.findall(self.text))
        if odd := sorted(used ^ set(values)):
            verb = "has no value" if odd[0] in used else "is not in the text"
            raise ValueError(f"prompt {self.name}: {{{{{odd[0]}}}}} {verb}")
        return _VARIABLE.sub(lambda match: values[match[1]], self.text)


def load_template(name: str, folders: Sequence[Path] = ()) -> Template:
    """The prompt `name` with its variables in place. Raises UnknownName or DefinitionError."""
    prompts = list_prompts(folders)
    if name not in prompts:
        raise UnknownName("prompt", name, prompts, "serxbench prompts")
    definition = read_prompt(prompts[name])
    return Template(
        name=name,
        version=definition.fields["version"],
        text=definition.text,
        sha256=hashlib.sha256(definition.text.encode()).hexdigest(),
    )


def read_prompt(path: Path) -> Definition:
    """The prompt file at `path`, checked: known keys, and the variables it declares are those it uses."""
    definition = read_definition(path)
    check_fields(definition, _PROMPT_REQUIRED, _PROMPT_OPTIONAL)
    fields: dict[str, Any] = dict(definition.fields)
    if fields["name"] != path.stem:
        raise DefinitionError(f"{path}: its name is '{fields['name']}'; wanted the file's, '{path.stem}'")
    if "mode" in fields and fields["mode"] not in MODES:
        raise DefinitionError(f"{path}: mode must be one of {', '.join(MODES)}; found '{fields['mode']}'")
    used, declared = set(_VARIABLE.findall(definition.text)), set(fields.get("variables", []))
    if used != declared:
        odd = sorted(used ^ declared)[0]
        verb = "is used in the text and not declared" if odd in used else "is declared and not used in the text"
        raise DefinitionError(f"{path}: variable '{odd}' {verb}; list what the text uses under 'variables'")
    if not definition.text:
        raise DefinitionError(f"{path}: has no text below the front matter")
    return definition


def as_mode(mode: str) -> Mode:
    """`mode` as a Mode. Raises UnknownName."""
    if mode not in MODES:
        raise UnknownName("mode", mode, MODES)
    return mode
