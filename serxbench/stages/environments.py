"""The environments of models that cannot live in this process: which there are, building and removing them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from serxbench.catalog import list_cards, read_card, resolve_card
from serxbench.errors import UsageError
from serxbench.stages.models import environment_of
from serxbench.workers import building
from serxbench.workers.environments import DESCRIPTION, Environment, built_for, environments_folder


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One environment. card: None if no card asks for this one (any more); state is then `unused`.

    bytes, packages: what it takes and how many packages it holds, None until it is ready.
    """

    card: str | None
    state: str
    folder: Path
    bytes: int | None = None
    packages: int | None = None


def build_environment(model: str, folders: Sequence[Path], say: Callable[[str], None], rebuild: bool) -> Environment:
    """The environment of a card, built if it was not there. Raises UsageError for a card without one, AdapterError."""
    card = resolve_card(model, folders)
    environment = environment_of(card)
    if environment is None:
        raise UsageError(f"'{card.name}' runs in this process; its card names no environment")
    if not building.build(environment, say, rebuild):
        say(f"{environment.folder}: is there already; --rebuild makes it anew")
    return environment


def list_environments(folders: Sequence[Path] = ()) -> list[Listed]:
    """The environment of every card that names one, then those on disk that no card asks for."""
    listed = []
    for path in list_cards(folders).values():
        environment = environment_of(read_card(path))
        if environment is not None:
            listed.append(_describe(environment.card, environment.state, environment.folder))
    known = {each.folder for each in listed}
    there = sorted(environments_folder().glob("*-*")) if environments_folder().is_dir() else []
    rest = [folder for folder in there if folder.is_dir() and folder not in known]
    return [*listed, *(_describe(None, "unused", folder) for folder in rest)]


def remove_environments(card: str) -> list[Path]:
    """The folders that were removed. Raises UsageError if nothing was ever built for a card of that name."""
    if not built_for(card):
        raise UsageError(f"{environments_folder()}: holds no environment of '{card}'. List them: serxbench env list")
    return building.remove(card)


def _describe(card: str | None, state: str, folder: Path) -> Listed:
    file = folder / DESCRIPTION
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    if found is None:
        return Listed(card=card, state=state, folder=folder)
    return Listed(card=card, state=state, folder=folder, bytes=found["bytes"], packages=len(found["packages"]))
