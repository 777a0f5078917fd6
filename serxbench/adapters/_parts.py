"""Where a part of a model lies that is put together from several checkpoints: a folder, or a repository of the hub.

A part is pinned, or the run's manifest would not say which weights answered:

    owner/name@0a09…            a hub repository at a commit
    path/to/folder@sha256:1f2e…  a folder, relative to the card's checkpoint folder, with these bytes in it
"""

from __future__ import annotations

import re
from pathlib import Path

from serxbench.errors import AdapterError
from serxbench.hashing import hash_folder

_HUB = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")

#: What is downloaded: weights once and in one format.
_WANTED = ("*.json", "*.jinja", "*.txt", "*.model", "model.safetensors", "model-*.safetensors")


def locate_part(spec: object, folder: Path, setting: str) -> Path:
    """The folder that `spec` means, downloaded if it has to be and can be. setting: what the card calls it.

    Raises AdapterError if it is nowhere, not pinned, or not what it is pinned to.
    """
    if not isinstance(spec, str) or not spec:
        raise AdapterError(f"settings.{setting} must be owner/name@commit, or folder@sha256:…; found {spec!r}")
    path, _, pin = spec.partition("@")
    local = folder / Path(path).expanduser()
    if local.is_dir():
        found = hash_folder(local)
        if pin == found:
            return local
        if not pin:
            raise AdapterError(f"settings.{setting}: pin what is in the folder now; write: {setting}: {path}@{found}")
        raise AdapterError(f"settings.{setting}: the folder {local} holds {found}, and the card is for {pin}")
    if hub := _HUB.fullmatch(spec):
        return _from_hub(hub["repository"], hub["revision"], setting)
    if _HUB_ID.fullmatch(path):
        raise AdapterError(
            f"settings.{setting}: '{spec}' is no folder ({local}) and names no commit; pin one: {path}@<40 hex digits>"
        )
    raise AdapterError(f"settings.{setting}: '{spec}' is no folder ({local}) and no hub repository at a commit")


def _from_hub(repository: str, revision: str, setting: str) -> Path:
    from huggingface_hub import snapshot_download

    wanted = list(_WANTED)
    try:
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=wanted, local_files_only=True))
        # A download that was broken off leaves a folder all the same.
        if (folder / "config.json").exists() and any(folder.glob("model*.safetensors")):
            return folder
    except Exception:  # noqa: BLE001 - not here yet, whatever the hub's client calls that
        pass
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise AdapterError(
            f"settings.{setting}: {repository} is not on this machine and could not be downloaded ({reason}). Get it "
            f"with `hf download {repository} --revision {revision}`, or give the path of a folder"
        ) from error
