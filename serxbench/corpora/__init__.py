"""Corpora: one module each, found by its name. `demo` is embedded; the others read the folder a user has.

A module of this package holds

    INFO: CorpusInfo
    def read(request: CorpusRequest) -> Listing       every utterance of the split, in a fixed order
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from serxbench.emotions import EMOTIONS
from serxbench.errors import CorpusError, UnknownName, UsageError
from serxbench.records import Utterance


@dataclass(frozen=True, kw_only=True)
class CorpusInfo:
    """What is known of a corpus before it is read.

    labels: its classes, a subset of the eight in their order. splits: empty if it has none of its own.
    needs_root: `--data-root` must name its folder. upload_allowed: the licence lets its audio go to a third party.
    """

    name: str
    description: str
    licence: str
    labels: tuple[str, ...] = EMOTIONS
    splits: tuple[str, ...] = ()
    default_split: str | None = None
    needs_root: bool = False
    upload_allowed: bool = False
    takes_path: bool = False


@dataclass(frozen=True, kw_only=True)
class CorpusRequest:
    """What `--data` and `--data-root` ask for. argument: the text after the colon, for corpora that take a path."""

    split: str | None
    root: Path | None
    argument: str | None = None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a module read: the utterances, and remarks that a user should see (counts of what is not there)."""

    utterances: Sequence[Utterance]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One split of a corpus, ready to be run or scored.

    revision: sha256 over everything of it that moves a score (ids, transcripts, speakers, votes, consensus), but not
    over where it lies. It does not cover the audio; the hash of what a model heard is on each response.
    limit: only the first `limit` utterances in corpus order, None for all.
    data, root: the words with which open_corpus finds it again on this machine.
    """

    info: CorpusInfo
    split: str | None
    utterances: tuple[Utterance, ...]
    revision: str
    remarks: tuple[str, ...] = ()
    limit: int | None = None
    data: str
    root: Path | None = None

    @property
    def scorable(self) -> bool:
        """Whether there is anything to compare a prediction with."""
        return any(utterance.votes or utterance.consensus for utterance in self.utterances)

    def describe(self) -> dict[str, Any]:
        """What a run's manifest says of it."""
        return {
            "name": self.info.name,
            "split": self.split,
            "revision": self.revision,
            "limit": self.limit,
            "n": len(self.utterances),
            "labels": list(self.info.labels),
            "licence": self.info.licence,
        }


def list_corpora() -> list[str]:
    """The names of all corpora, as `--data` takes them."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name.replace("_", "-") for name in modules if not name.startswith("_"))


def find_corpus(name: str) -> ModuleType:
    """The module of the corpus `name`; `crema_d` and `CREMA-D` mean `crema-d`. Raises UnknownName."""
    plain = name.lower().replace("_", "-")
    if plain not in list_corpora():
        raise UnknownName("corpus", name, list_corpora(), "serxbench corpora")
    return importlib.import_module(f"{__name__}.{plain.replace('-', '_')}")


def open_corpus(data: str, root: Path | None = None, limit: int | None = None) -> Corpus:
    """The corpus that `--data CORPUS[:SPLIT]` means. Raises UsageError or CorpusError.

    A corpus that takes a path is written `manifest:PATH`, with `#SPLIT` after it for one split of the file.
    """
    name, _, rest = data.partition(":")
    module = find_corpus(name)
    info: CorpusInfo = module.INFO
    request = _request(info, rest, root)
    listing: Listing = module.read(request)
    if not listing.utterances:
        raise CorpusError(f"{data}: has no utterances" + (f" in split '{request.split}'" if request.split else ""))
    _check_ids(data, listing.utterances)
    utterances = tuple(listing.utterances)
    if limit is not None:
        if limit < 1:
            raise UsageError(f"--limit must be at least 1; found {limit}")
        utterances = utterances[:limit]
    return Corpus(
        info=info,
        split=request.split,
        utterances=utterances,
        revision=hash_utterances(utterances),
        remarks=listing.remarks,
        limit=limit,
        data=f"{info.name}:{Path(rest).expanduser().absolute()}" if info.takes_path else data,
        root=request.root,
    )


def _request(info: CorpusInfo, rest: str, root: Path | None) -> CorpusRequest:
    if info.takes_path:
        path, _, split = rest.partition("#")
        if not path:
            raise UsageError(f"--data {info.name}: a path is wanted, as in --data {info.name}:my/utterances.jsonl")
        return CorpusRequest(split=split or None, root=root.resolve() if root else None, argument=path)
    if info.needs_root and root is None:
        raise UsageError(
            f"--data {info.name} needs --data-root DIR, the folder of the corpus as it was distributed "
            f'(or [data-roots] {info.name} = "DIR" in serxbench.toml)'
        )
    if root is not None and not root.is_dir():
        raise UsageError(f"--data-root {root}: no such folder")
    root = root.resolve() if root else None
    if not rest:
        return CorpusRequest(split=info.default_split, root=root)
    wanted = rest.lower().replace("_", "").replace("-", "")
    for split in info.splits:
        if split.replace("-", "") == wanted:
            return CorpusRequest(split=split, root=root)
    raise UnknownName(f"split of {info.name}", rest, info.splits, "serxbench corpora")


def _check_ids(data: str, utterances: Sequence[Utterance]) -> None:
    seen: set[str] = set()
    for utterance in utterances:
        if utterance.id in seen:
            raise CorpusError(f"{data}: the id '{utterance.id}' stands twice; every utterance needs its own")
        seen.add(utterance.id)


def hash_utterances(utterances: Sequence[Utterance]) -> str:
    """sha256 of what moves a score: each utterance's line without its audio path, in order."""
    digest = hashlib.sha256()
    for utterance in utterances:
        digest.update(replace(utterance, audio=None).to_json().encode())
        digest.update(b"\n")
    return digest.hexdigest()
