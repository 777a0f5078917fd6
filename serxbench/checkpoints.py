"""Where a card's weights lie on this machine, and which bytes they are."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from serxbench.adapters import find_adapter
from serxbench.catalog import ModelCard
from serxbench.errors import AdapterError
from serxbench.hashing import hash_folder

#: The repository of a card whose adapter needs none; its settings stand for the weights.
NO_WEIGHTS = "none"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint on disk. revision: the hub commit, or `sha256:…` over the files of a local folder."""

    folder: Path
    revision: str


def locate_checkpoint(card: ModelCard) -> Checkpoint:
    """The card's checkpoint, downloaded if it has to be and can be. Raises AdapterError with the command that helps."""
    if card.repository == NO_WEIGHTS:
        text = json.dumps({"adapter": card.adapter, "settings": dict(card.settings)}, sort_keys=True)
        return Checkpoint(folder=Path(), revision=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")
    if card.folder is not None:
        return Checkpoint(folder=card.folder, revision=hash_folder(card.folder))
    if card.repository.startswith((".", "/", "~")) or "/" not in card.repository:
        raise AdapterError(f"{card.path or card.name}: repository '{card.repository}' is no folder and no hub id")
    return _from_hub(card)


def is_here(card: ModelCard) -> bool:
    """Whether the card's weights are on this machine already; nothing is downloaded."""
    if card.repository == NO_WEIGHTS:
        # A family that loads checkpoints, or an adapter of a base, without any weights: nobody has published them.
        return card.base is None and not find_adapter(card.adapter).MODEL_TYPES
    return card.folder is not None or _cached(card) is not None


def _cached(card: ModelCard) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(card.repository, revision=card.revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _from_hub(card: ModelCard) -> Checkpoint:
    folder = _cached(card)
    if folder is None:
        from huggingface_hub import snapshot_download

        try:
            folder = Path(snapshot_download(card.repository, revision=card.revision))
        except Exception as error:
            pinned = f" --revision {card.revision}" if card.revision else ""
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise AdapterError(
                f"the weights of '{card.name}' are not on this machine and could not be downloaded ({reason}). "
                f"Get them with `hf download {card.repository}{pinned}`, or give --model a checkpoint folder"
            ) from error
    # A snapshot folder is named after its commit.
    return Checkpoint(folder=folder, revision=folder.name)
