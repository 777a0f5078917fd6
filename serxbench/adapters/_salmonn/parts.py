"""Where the four parts of a SALMONN lie: Whisper, BEATs, the language model, and SALMONN's own weights.

Each setting of the card is a path (a relative one is looked for in the checkpoint's folder) or a hub id:

    whisper, llm          a folder, or owner/name, or owner/name@revision
    beats, checkpoint     a file, or owner/name::file, or owner/name@revision::file

For the two files the card may say what they hash to, under `sha256`: they come from mirrors and private folders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serxbench.errors import AdapterError
from serxbench.hashing import hash_file

#: What is downloaded of a repository: weights once and in one format, no TensorFlow or Flax copies of them.
_WANTED_FILES = {
    "whisper": ("*.json", "model.safetensors", "model-*.safetensors"),
    "llm": ("*.json", "tokenizer.model", "*.safetensors", "pytorch_model*.bin"),
}
_WEIGHTS = ("*.safetensors", "*.bin")

_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?(?:::(?P<file>.+))?")
_EXAMPLES = {
    "whisper": "openai/whisper-large-v2",
    "llm": "lmsys/vicuna-7b-v1.5",
    "beats": "owner/name::BEATs_iter3_plus_AS2M_finetuned_on_AS2M_cpt2.pt",
    "checkpoint": "tsinghua-ee/SALMONN-7B::salmonn_7b_v0.pth",
}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Folders of Whisper and of the language model, files of BEATs and of SALMONN."""

    whisper: Path
    llm: Path
    beats: Path
    checkpoint: Path


def locate_parts(settings: Mapping[str, Any], base: Path) -> Parts:
    """The parts that a card's `settings` name, downloaded if they have to be and can be. Raises AdapterError."""
    parts = Parts(
        whisper=_locate_folder("whisper", settings, base),
        llm=_locate_folder("llm", settings, base),
        beats=_locate_file("beats", settings, base),
        checkpoint=_locate_file("checkpoint", settings, base),
    )
    _check_hashes({"beats": parts.beats, "checkpoint": parts.checkpoint}, settings.get("sha256", {}))
    return parts


def _locate_folder(part: str, settings: Mapping[str, Any], base: Path) -> Path:
    value = _setting(part, settings)
    local = base / Path(value).expanduser()
    if local.is_dir():
        return local
    named = _HUB_ID.fullmatch(value)
    if local.exists() or not named or named["file"]:
        raise _nowhere(part, value, local, "folder")
    return _download_folder(part, named["repo"], named["revision"])


def _locate_file(part: str, settings: Mapping[str, Any], base: Path) -> Path:
    value = _setting(part, settings)
    local = base / Path(value).expanduser()
    if local.is_file():
        return local
    named = _HUB_ID.fullmatch(value)
    if local.exists() or not named or not named["file"]:
        raise _nowhere(part, value, local, "file")
    return _download_file(part, named["repo"], named["revision"], named["file"])


def _check_hashes(files: Mapping[str, Path], wanted: Any) -> None:
    """Raises AdapterError for a file that is not the one the card means."""
    if not isinstance(wanted, Mapping) or not wanted.keys() <= files.keys():
        raise AdapterError(
            f"salmonn: the card's settings.sha256 must map {' and '.join(files)} to hashes; found {wanted!r}"
        )
    for part, sha256 in wanted.items():
        found = hash_file(files[part])
        if found != sha256:
            raise AdapterError(
                f"{files[part]}: has the sha256 {found}; the card's settings.sha256.{part} says {sha256}. "
                "Get the file that the card means, or take that line out to run another one"
            )


def _setting(part: str, settings: Mapping[str, Any]) -> str:
    value = settings.get(part)
    if not isinstance(value, str) or not value:
        raise AdapterError(
            f"salmonn: the card's settings.{part} must be a path or a hub id ({_EXAMPLES[part]}); found {value!r}"
        )
    return value


def _nowhere(part: str, value: str, local: Path, kind: str) -> AdapterError:
    return AdapterError(
        f"salmonn: settings.{part}: '{value}' is no {kind} ({local}) and no hub id of one; "
        f"give a path, or a hub id like {_EXAMPLES[part]}"
    )


def _download_folder(part: str, repo: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    patterns = list(_WANTED_FILES[part])
    reason: Exception = FileNotFoundError("the hub's cache has only some of its files")
    for here in (True, False):
        try:
            found = Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, local_files_only=here))
        except Exception as error:  # noqa: BLE001 - the hub's client raises any of many types; it ends in AdapterError
            reason = error
            continue
        # A download that was broken off leaves a folder all the same.
        if (found / "config.json").exists() and any(any(found.glob(pattern)) for pattern in _WEIGHTS):
            return found
    includes = " ".join(f"--include '{pattern}'" for pattern in patterns)
    raise _absent(part, f"{repo}{_at(revision)} {includes}", reason) from reason


def _download_file(part: str, repo: str, revision: str | None, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repo, name, revision=revision))
    except Exception as error:
        raise _absent(part, f"{repo} {name}{_at(revision)}", error) from error


def _at(revision: str | None) -> str:
    return f" --revision {revision}" if revision else ""


def _absent(part: str, arguments: str, error: Exception) -> AdapterError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return AdapterError(
        f"salmonn: settings.{part} is not on this machine and could not be downloaded ({reason}). "
        f"Get it with `hf download {arguments}`, or give settings.{part} a path"
    )
