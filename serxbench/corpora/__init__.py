"""Corpora: one module each, found by its name. `demo` is embedded; the others read the folder a user has.

A module of this package holds

    INFO: CorpusInfo
    def read(request: CorpusRequest) -> Listing       every utterance of the split, in a fixed order

and raises CorpusError only where nothing can be read at all (no label file, columns missing). One row or one clip that
is not what it should be is a Fault of the Listing: it is counted in front of every run and named by `data check`.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from serxbench.corpora._listing import (
    Agreement,
    CorpusInfo,
    CorpusOption,
    CorpusRequest,
    Fault,
    Listing,
    compare_pluralities,
    plurality,
)
from serxbench.errors import CorpusError, UnknownName, UsageError
from serxbench.records import Utterance

__all__ = [
    "Agreement",
    "Corpus",
    "CorpusInfo",
    "CorpusOption",
    "CorpusRequest",
    "Fault",
    "Listing",
    "compare_pluralities",
    "find_corpus",
    "hash_utterances",
    "list_corpora",
    "normalise_split",
    "open_corpus",
    "parse_data",
    "plurality",
    "read_listing",
]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One split of a corpus, ready to be run or scored.

    revision: sha256 over everything of it that moves a score (ids, transcripts, speakers, votes, consensus), but not
    over where it lies. It does not cover the audio; the hash of what a model heard is on each response.
    limit: only the first `limit` utterances in corpus order, None for all.
    options: those that are not at their default. n_absent: utterances of the split whose clip is not there.
    data, root: the words with which open_corpus finds it again on this machine.
    """

    info: CorpusInfo
    split: str | None
    utterances: tuple[Utterance, ...]
    revision: str
    labels: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    limit: int | None = None
    n_absent: int = 0
    n_faults: int = 0
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
            **({"options": dict(self.options)} if self.options else {}),
            "revision": self.revision,
            "limit": self.limit,
            "n": len(self.utterances),
            **({"n_absent": self.n_absent} if self.n_absent else {}),
            "labels": list(self.labels),
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
    """The corpus that `--data CORPUS[:SPLIT][,OPTION=VALUE…]` means. Raises UsageError or CorpusError.

    A corpus that takes a path is written `manifest:PATH`, with `#SPLIT` after it for one split of the file.
    Where only some clips of a distributed corpus are there, their utterances are listed and a remark counts the others.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit must be at least 1; found {limit}")
    info, request = parse_data(data, root)
    listing = read_listing(data, info, request)
    utterances = tuple(listing.utterances)
    n_absent = 0
    if info.needs_root and any(utterance.audio is not None for utterance in utterances):
        here = tuple(utterance for utterance in utterances if utterance.audio is not None)
        n_absent, utterances = len(utterances) - len(here), here
    utterances = utterances[:limit]
    return Corpus(
        info=info,
        split=request.split,
        utterances=utterances,
        revision=hash_utterances(utterances),
        labels=listing.labels or info.labels,
        options=_chosen(info, request),
        remarks=_remarks(listing, info, n_absent),
        limit=limit,
        n_absent=n_absent,
        n_faults=len(listing.faults),
        data=f"{info.name}:{Path(data.partition(':')[2]).expanduser().absolute()}" if info.takes_path else data,
        root=request.root,
    )


def read_listing(data: str, info: CorpusInfo, request: CorpusRequest) -> Listing:
    """What the module reads, checked: at least one utterance, and every id once. Raises CorpusError."""
    listing: Listing = find_corpus(info.name).read(request)
    if not listing.utterances:
        raise CorpusError(f"{data}: has no utterances" + (f" in split '{request.split}'" if request.split else ""))
    seen: set[str] = set()
    for utterance in listing.utterances:
        if utterance.id in seen:
            raise CorpusError(f"{data}: the id '{utterance.id}' stands twice; every utterance needs its own")
        seen.add(utterance.id)
    return listing


def _remarks(listing: Listing, info: CorpusInfo, n_absent: int) -> tuple[str, ...]:
    remarks = list(listing.remarks)
    total = len(listing.utterances)
    if n_absent:
        remarks.append(f"{info.name}: {total - n_absent} of the {total} clips in the label files are there")
    elif info.needs_root and all(utterance.audio is None for utterance in listing.utterances):
        remarks.append(f"{info.name}: no audio found; labels only")
    if listing.n_left_out:
        remarks.append(f"{info.name}: {listing.n_left_out} utterances are left out by the options given")
    faults = [fault for fault in listing.faults if fault.kind != "missing_audio"]
    if faults:
        more = f"; the first: {faults[0]}" if len(faults) > 1 else f": {faults[0]}"
        verb = f"{len(faults)} faults" if len(faults) > 1 else "a fault"
        remarks.append(f"{info.name}: {verb} in the corpus (serxbench data check {info.name} names all){more}")
    return tuple(remarks)


def parse_data(data: str, root: Path | None) -> tuple[CorpusInfo, CorpusRequest]:
    """The corpus and the request that `--data` and `--data-root` mean. Raises UsageError."""
    before, colon, after = data.partition(":")
    name, _, bare_options = before.partition(",")
    info: CorpusInfo = find_corpus(name).INFO
    if info.takes_path:
        path, _, named_split = after.partition("#")
        if not path:
            raise UsageError(f"--data {info.name}: a path is wanted, as in --data {info.name}:my/utterances.jsonl")
        return info, CorpusRequest(split=named_split or None, root=root.resolve() if root else None, argument=path)
    if info.needs_root and root is None:
        raise UsageError(
            f"--data {info.name} needs --data-root DIR, the folder of the corpus as it was distributed "
            f'(or [data-roots] {info.name} = "DIR" in serxbench.toml)'
        )
    if root is not None and not root.is_dir():
        raise UsageError(f"--data-root {root}: no such folder")
    split, _, options = after.partition(",") if colon else ("", "", bare_options)
    return info, CorpusRequest(
        split=_split(info, split), root=root.resolve() if root else None, options=_options(info, options)
    )


def _split(info: CorpusInfo, name: str) -> str | None:
    if not name:
        return info.default_split
    wanted = normalise_split(name)
    for split in info.splits:
        if normalise_split(split) == wanted:
            return split
    raise UnknownName(f"split of {info.name}", name, info.splits, "serxbench corpora")


def normalise_split(name: str) -> str:
    """A split's name without case, blanks and punctuation, with the usual words for development brought together.

    >>> normalise_split("Test_1"), normalise_split("Validation"), normalise_split("dev")
    ('test1', 'development', 'development')
    """
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    return "development" if plain in ("dev", "val", "valid", "validation", "development") else plain


def _options(info: CorpusInfo, text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    known = {option.name: option for option in info.options}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"--data {info.name}: '{part}': OPTION=VALUE is wanted after the comma")
        if name not in known:
            raise UnknownName(f"option of {info.name}", name, known, "serxbench corpora")
        if value not in known[name].choices:
            raise UnknownName(f"value of the option {name} of {info.name}", value, known[name].choices)
        given[name] = value
    return {name: given.get(name, option.default) for name, option in known.items()}


def _chosen(info: CorpusInfo, request: CorpusRequest) -> dict[str, str]:
    return {o.name: request.options[o.name] for o in info.options if request.options[o.name] != o.default}


def hash_utterances(utterances: Sequence[Utterance]) -> str:
    """sha256 of what moves a score: each utterance's line without its audio path, in order."""
    digest = hashlib.sha256()
    for utterance in utterances:
        digest.update(replace(utterance, audio=None).to_json().encode())
        digest.update(b"\n")
    return digest.hexdigest()
