"""Run folders: what lies in one, and how it is written so that a killed process loses at most a batch.

manifest.json       everything that moves the number; written first, never changed
local.json          where the corpus lies on this machine; compared with nothing, part of no result
journal.jsonl       responses as batches finish, append-only; gone once responses.jsonl is there
responses.jsonl     ┐
parsed.jsonl        │ final files: one record an utterance, in corpus order, replaced atomically
predictions.jsonl   ┘
scores.json
parsings/           where several parsers read the answers: what each made of them, one file like parsed.jsonl a parser
derived.json        for each file made from another: its hash, and the hash of everything it was made from
timings.jsonl       how long it took, append-only; kept apart so that the other files compare byte for byte
lock                held while a process writes
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from serxbench.errors import ManifestMismatch, MissingStage, RunError, RunLocked
from serxbench.hashing import hash_file
from serxbench.records import JsonRecord

RecordT = TypeVar("RecordT", bound=JsonRecord)

MANIFEST = "manifest.json"
LOCAL = "local.json"
JOURNAL = "journal.jsonl"
RESPONSES = "responses.jsonl"
PARSED = "parsed.jsonl"
PARSINGS = "parsings"
PREDICTIONS = "predictions.jsonl"
SCORES = "scores.json"
DERIVED = "derived.json"
TIMINGS = "timings.jsonl"
LOCK = "lock"

#: Raised by one when a change makes older run folders unreadable.
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class RunManifest(JsonRecord):
    """Everything that moves the number, and nothing else: no time, no path, no host.

    model: name, adapter, repository, revision, prompt_style. corpus: name, split, revision, limit, n, labels, licence.
    control: what the model got in place of the sound (`silence`, `shuffle`, `transcript-1`); None if it heard it.
    prompt: name, text, sha256; None for answers made elsewhere. decoding: None then too.
    options: the lettered options that the model was offered; None in the open form.
    engine: backend, dtype, device, batch_size, batch_plan (hash), and the versions of the packages that compute.
    parser: the one that reads these answers unless another is asked for.
    """

    schema: int = SCHEMA
    serxbench: str
    model: Mapping[str, Any]
    mode: str
    cot: bool
    control: str | None = None
    corpus: Mapping[str, Any]
    prompt: Mapping[str, Any] | None = None
    options: Sequence[tuple[str, str]] | None = None
    decoding: Mapping[str, Any] | None = None
    engine: Mapping[str, Any]
    parser: str = "rules"


class Run:
    """A run folder on disk."""

    def __init__(self, path: Path, manifest: RunManifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: Path) -> Run:
        """The run in an existing folder. Raises RunError."""
        if not path.is_dir():
            raise RunError(f"{path}: no such run folder")
        file = path / MANIFEST
        if not file.is_file():
            raise RunError(f"{path}: is not a run folder (it has no {MANIFEST})")
        try:
            row = json.loads(file.read_text(encoding="utf-8"))
            manifest = RunManifest.from_dict(row)
        except (ValueError, TypeError) as error:
            raise RunError(f"{file}: is not a run manifest of this version ({error})") from error
        if manifest.schema != SCHEMA:
            raise RunError(f"{file}: has schema {manifest.schema}; this serxbench reads {SCHEMA}")
        return cls(path, manifest)

    @classmethod
    def start(cls, path: Path, manifest: RunManifest) -> Run:
        """A new run folder, or the same run found again. Raises ManifestMismatch if the folder holds another."""
        if (path / MANIFEST).is_file():
            existing = cls.open(path)
            if changes := differences(existing.manifest, manifest):
                clips = " (other clips are readable than then, or of other lengths)"
                why = clips if changes[0].startswith("engine.batch_plan:") else ""
                raise ManifestMismatch(
                    f"{path} holds another run: {'; '.join(changes)}{why}. "
                    f"Give another --out, or delete the folder to start over"
                )
            return existing
        if path.is_dir() and any(entry.name != LOCK for entry in path.iterdir()):
            raise RunError(f"{path}: is not empty and not a run folder; give another --out")
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(path / MANIFEST, json.dumps(json.loads(manifest.to_json()), ensure_ascii=False, indent=2))
        return cls(path, manifest)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder for writing; the kernel lets go of it when the process dies. Raises RunLocked."""
        with lock_folder(self.path):
            yield

    def file(self, name: str) -> Path:
        """The path of one of the run's files."""
        return self.path / name

    def read_records(self, name: str, kind: type[RecordT]) -> list[RecordT]:
        """The records of one of the run's JSONL files. Raises MissingStage or RunError."""
        path = self.file(name)
        if not path.is_file():
            raise MissingStage(f"{self.path}: has no {name} yet; {_HOW_TO_MAKE[name]}")
        return read_jsonl(path, kind)

    def write_records(self, name: str, records: Iterable[JsonRecord]) -> None:
        """Replaces one of the run's JSONL files atomically."""
        write_atomically(self.file(name), "".join(record.to_json() + "\n" for record in records))

    def remember_sources(self, name: str, sources: Sequence[str], made_by: Mapping[str, Any]) -> None:
        """Notes in `derived.json` what the file `name` was made from and by."""
        derived = self._derived()
        derived[name] = self._provenance(name, sources, made_by)
        write_atomically(self.file(DERIVED), json.dumps(dict(sorted(derived.items())), indent=2))

    def is_fresh(self, name: str, sources: Sequence[str], made_by: Mapping[str, Any]) -> bool:
        """Whether `name` is there, unchanged, and made from `sources` as they are now by the same `made_by`."""
        if not all(self.file(each).is_file() for each in (name, *sources)):
            return False
        known = self._derived().get(name)
        return bool(known == json.loads(json.dumps(self._provenance(name, sources, made_by))))

    def made_by(self, name: str) -> Mapping[str, Any]:
        """What made the derived file `name` (parser and hash, ...). Raises MissingStage if it is absent or stale."""
        known = self._derived().get(name)
        path = self.file(name)
        if known is None or not path.is_file():
            raise MissingStage(f"{self.path}: has no {name} yet; {_HOW_TO_MAKE[name]}")
        for source, sha256 in {name: known["sha256"], **known["made_from"]}.items():
            if not self.file(source).is_file() or hash_file(self.file(source)) != sha256:
                raise MissingStage(f"{self.path}: {source} changed since {name} was made; {_HOW_TO_MAKE[name]}")
        result: Mapping[str, Any] = known["made_by"]
        return result

    def maker(self, name: str) -> Mapping[str, Any] | None:
        """What made the file `name` the last time, stale or not; None if it was never made."""
        known = self._derived().get(name)
        return None if known is None else dict(known["made_by"])

    def note_timing(self, **fields: Any) -> None:
        """Appends one line to the timings."""
        with self.file(TIMINGS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")

    def remember_corpus(self, data: str, root: Path | None) -> None:
        """Notes with which words open_corpus finds the corpus again on this machine."""
        local = {"data": data, "root": None if root is None else str(root)}
        write_atomically(self.file(LOCAL), json.dumps(local, indent=2))

    def recall_corpus(self) -> tuple[str, Path | None] | None:
        """What remember_corpus noted; None if the folder came here without it."""
        path = self.file(LOCAL)
        if not path.is_file():
            return None
        local = json.loads(path.read_text(encoding="utf-8"))
        return local["data"], Path(local["root"]) if local["root"] else None

    def _derived(self) -> dict[str, Any]:
        path = self.file(DERIVED)
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return result

    def _provenance(self, name: str, sources: Sequence[str], made_by: Mapping[str, Any]) -> dict[str, Any]:
        made_from = {source: hash_file(self.file(source)) for source in sources}
        return {"sha256": hash_file(self.file(name)), "made_from": made_from, "made_by": dict(made_by)}


_HOW_TO_MAKE = {
    RESPONSES: "make it with: serxbench run … (or serxbench respond …)",
    PARSED: "make it with: serxbench parse RUN",
    PREDICTIONS: "make it with: serxbench cluster RUN",
    SCORES: "make it with: serxbench score RUN",
}


@contextlib.contextmanager
def lock_folder(path: Path) -> Iterator[None]:
    """Holds `path/lock` exclusively. Raises RunLocked at once if another process holds it."""
    path.mkdir(parents=True, exist_ok=True)
    with (path / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunLocked(
                f"{path}: another process is writing this run; wait for it, or give another --out"
            ) from None
        yield


def differences(old: JsonRecord, new: JsonRecord) -> list[str]:
    """What differs between two manifests, one short text a difference, for instance `decoding.seed: 0 → 1`."""
    return list(_differences(json.loads(old.to_json()), json.loads(new.to_json()), ""))


def _differences(old: Any, new: Any, where: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    elif old != new:
        yield f"{where}: {_short(old)} → {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


class Journal:
    """The append-only journal of one run's responses, written batch by batch.

    A batch is one write followed by fsync. What a kill left of an unfinished batch is cut off when it is opened again,
    so a batch is there whole or not at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[int, list[dict[str, Any]]]:
        """Batch number → its response rows. Cuts off a torn last line. Raises RunError for damage elsewhere."""
        if not self.path.is_file():
            return {}
        raw = self.path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
        batches: dict[int, list[dict[str, Any]]] = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                row = json.loads(line)
                batches[int(row["batch"])] = list(row["responses"])
            except (ValueError, KeyError, TypeError) as error:
                raise RunError(f"{self.path}:{number}: damaged journal line ({error}); delete that line") from error
        return batches

    def append(self, batch: int, responses: Sequence[JsonRecord]) -> None:
        """Adds a finished batch; when this returns it is on the disk."""
        rows = [json.loads(response.to_json()) for response in responses]
        line = json.dumps({"batch": batch, "responses": rows}, ensure_ascii=False) + "\n"
        with self.path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def delete(self) -> None:
        """Removes the journal once its content is in responses.jsonl."""
        self.path.unlink(missing_ok=True)


def read_jsonl(path: Path, kind: type[RecordT]) -> list[RecordT]:
    """The records of a JSONL file. Raises RunError naming the line."""
    records = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                records.append(kind.from_dict(json.loads(line)))
            except (ValueError, TypeError) as error:
                raise RunError(f"{path}:{number}: is not a {kind.__name__} record ({error})") from error
    return records


def write_atomically(path: Path, text: str) -> None:
    """Replaces `path` by `text`: after a crash there is the old file or the new one, whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text if text.endswith("\n") or not text else text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
