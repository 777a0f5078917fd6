"""A card → its weights on this machine → a loaded adapter. What a run's manifest says of the model is made here too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serxbench.adapters import Adapter, Base, Loading, find_adapter
from serxbench.catalog import ModelCard, resolve_card
from serxbench.checkpoints import Checkpoint, locate_checkpoint
from serxbench.errors import AdapterError, DefinitionError
from serxbench.workers.client import start_worker
from serxbench.workers.environments import Environment, read_environment


@dataclass(frozen=True, kw_only=True)
class LocatedModel:
    """A card with its checkpoint, and those of the model that it builds on if it names one."""

    card: ModelCard
    checkpoint: Checkpoint
    base: LocatedModel | None = None

    def describe(self) -> dict[str, Any]:
        """What the manifest says: everything of the model that moves an answer."""
        card = self.card
        return {
            **_describe(card, self.checkpoint.revision),
            **({"settings": dict(card.settings)} if card.settings else {}),
            **({"base": self.base.describe()} if self.base else {}),
            **({"environment": environment.describe()} if (environment := environment_of(card)) else {}),
        }

    def loading(self, device: str, dtype: str) -> Loading:
        """What the adapter needs to load it."""
        base = self.base
        return Loading(
            folder=self.checkpoint.folder,
            prompt_style=self.card.prompt_style,
            device=device,
            dtype=dtype,
            settings=self.card.settings,
            base=Base(adapter=base.card.adapter, loading=base.loading(device, dtype)) if base else None,
        )


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A card whose weights are on the server that answers; which ones those are, only the server knows."""

    card: ModelCard

    def describe(self) -> dict[str, Any]:
        """What the manifest says: the card's own words. What the server says of itself, its engine describes."""
        return _describe(self.card, self.card.revision)

    def loading(self, device: str, dtype: str) -> Loading:
        """The card's settings; there is nothing here to load."""
        card = self.card
        return Loading(
            folder=Path(), prompt_style=card.prompt_style, device=device, dtype=dtype, settings=card.settings
        )


def _describe(card: ModelCard, revision: str | None) -> dict[str, Any]:
    return {
        "name": card.name,
        "display_name": card.display_name or card.name,
        "adapter": card.adapter,
        "repository": card.repository if card.folder is None else card.name,
        "revision": revision,
        "prompt_style": card.prompt_style,
    }


def locate_model(card: ModelCard, folders: Sequence[Path] = ()) -> LocatedModel:
    """The card's checkpoint and its base's, downloaded where they have to be and can be. Raises AdapterError."""
    base = None
    if card.base is not None:
        near = [card.path.parent] if card.path else []
        base_card = resolve_card(card.base, [*folders, *near])
        if base_card.base is not None:
            raise DefinitionError(f"{card.path}: base '{card.base}' has a base itself; name the model at the bottom")
        base = locate_model(base_card)
    return LocatedModel(card=card, checkpoint=locate_checkpoint(card), base=base)


def environment_of(card: ModelCard) -> Environment | None:
    """The environment that the card's model runs in; None if it is ours. Raises DefinitionError."""
    return None if card.environment is None else read_environment(card.name, card.environment, card.path)


def check_isolation(card: ModelCard, trust_remote_code: bool) -> None:
    """Raises AdapterError, before anything is downloaded or loaded, if the model's environment cannot be used.

    It has not been built, or the checkpoint's own code would run in it and the user has not said that it may.
    """
    environment = environment_of(card)
    if environment is None:
        return
    if environment.remote_code and not trust_remote_code:
        raise AdapterError(
            f"'{card.name}' runs Python code that comes with its weights ({card.repository}), with your rights, in a "
            "process of its own. Read that code, and if you trust it, give --trust-remote-code"
        )
    environment.check_built()


def load_adapter(
    model: LocatedModel, device: str, dtype: str, *, trust_remote_code: bool = False, log: Path | None = None
) -> Adapter:
    """The loaded model, in this process or in its card's own environment. Raises AdapterError.

    log: where the stderr of a process of its own goes; a temporary file if None.
    """
    card = model.card
    environment = environment_of(card)
    if environment is not None:
        check_isolation(card, trust_remote_code)
        return start_worker(environment, card.adapter, model.loading(device, dtype), trust_remote_code, log)
    adapter: Adapter = find_adapter(card.adapter).load(model.loading(device, dtype))
    return adapter
