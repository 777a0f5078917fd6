"""The label files of a release of MSP-Podcast: where they lie, and what they say of a file apart from its votes.

Every text file is read a line at a time and every line is a row of its own: a quote that is never closed must not
swallow the rows after it, and no field of a release runs over a line end.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from serxbench.corpora import normalise_split
from serxbench.corpora._listing import Fault
from serxbench.errors import CorpusError

SPLITS = ("train", "development", "test1", "test2", "test3")

#: What stands where nothing is known. Only ever compared in lower case.
MISSING = frozenset(("", "na", "nan", "none"))

#: Wanted file → its names in the releases, first choice first: `concensus` up to 1.9, `Partition.txt` in some.
_NAMES = {
    "consensus": (
        *(f"labels_{word}.{ending}" for ending in ("csv", "json") for word in ("consensus", "concensus")),
        "labels.txt",
    ),
    "votes": ("labels_detailed.csv", "labels_detailed.json", "labels.txt"),
    "partitions": ("partitions.txt", "partition.txt"),
    "transcripts": ("transcripts", "transcript"),
    "audio": ("audios", "audio"),
}
_LABEL_FOLDERS = ("labels", "label")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the parts of a release lie; None for what is not there. transcripts and audio are folders.

    consensus and votes are both labels.txt where only that is there.
    """

    consensus: Path | None
    votes: Path | None
    partitions: Path | None
    transcripts: Path | None
    audio: Path | None


class Released(NamedTuple):
    """What the consensus file says of one file, as it stands there. where: the file and line that says it."""

    code: str
    speaker: str | None
    split: str
    where: str


def find_layout(root: Path) -> Layout:
    """The parts below `root` in any case and spelling: a release, its label folder, or label files lying flat."""
    wanted = {name for names in _NAMES.values() for name in names}
    here = _entries(root, wanted | set(_LABEL_FOLDERS))
    folders = [here[name] for name in _LABEL_FOLDERS if name in here and here[name].is_dir()]
    places = [*(_entries(folder, wanted) for folder in folders), here]
    found = {}
    for part, names in _NAMES.items():
        fits = Path.is_dir if part in ("transcripts", "audio") else Path.is_file
        paths = (place[name] for name in names for place in places if name in place)
        found[part] = next(filter(fits, paths), None)
    return Layout(**found)


def _entries(folder: Path, wanted: set[str]) -> dict[str, Path]:
    """Name in lower case → path. One listing: a flat folder may hold all 207,136 clips beside the label files.

    Of two names that differ in case only, the one in lower case counts.
    """
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name.lower() in wanted)
    return {name.lower(): folder / name for name in names}


def id_of(name: str) -> str:
    """The id of a file name: without blanks around it and `.wav`.

    >>> id_of(" MSP-PODCAST_0001_0008.wav")
    'MSP-PODCAST_0001_0008'
    """
    name = name.strip()
    return name[:-4] if name[-4:].lower() == ".wav" else name


def group_of(id: str) -> str | None:
    """The show that a file is from, None where its name does not say (Test3).

    >>> group_of("MSP-PODCAST_1655_0140_0028"), group_of("MSP-PODCAST_test3_0001")
    ('MSP-PODCAST_1655', None)
    """
    corpus, _, rest = id.partition("_")
    show, _, segment = rest.partition("_")
    return f"{corpus}_{show}" if show.isdigit() and segment else None


def decode(raw: bytes) -> str:
    """The text of bytes that are UTF-8 or, where they cannot be, Windows-1252 (its unused bytes as in Latin-1)."""
    for encoding in ("utf-8", "cp1252"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, line without its end) of every line that is not blank. A byte order mark is dropped."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(file, start=1):
                line = line.rstrip("\n")
                if line and not line.isspace():
                    yield number, line if line.isascii() else decode(line.encode(errors="surrogateescape"))
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error})") from error


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of every row of a comma-separated file, the header first. All fields are text."""
    for number, line in read_lines(path):
        yield number, next(csv.reader((line,))) if '"' in line else line.split(",")


def read_header(path: Path, rows: Iterator[tuple[int, list[str]]]) -> list[str]:
    """The column names in lower case without `_` and blanks: releases write WorkerID, others worker_id."""
    _, fields = next(rows, (0, []))
    return [field.strip().lower().replace("_", "").replace(" ", "") for field in fields]


def read_json(path: Path, hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The decoded file; hook as object_pairs_hook of the json module. Raises CorpusError."""
    try:
        return json.loads(decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf")), object_pairs_hook=hook)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error})") from error
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path}: not valid JSON ({error})") from error


def read_blocks(path: Path) -> Iterator[tuple[int, str, str, bool]]:
    """(line number, id, text, whether it is the first of its block) of labels.txt.

    A block is a line that begins with a file's name and the lines of its annotators. A line that belongs to no file,
    because a blank line came before it or nothing did, has the id "".
    """
    id, last = "", 0
    for number, line in read_lines(path):
        name, _, text = line.partition(";")
        first = name.rstrip()[-4:].lower() == ".wav"
        id = id_of(name) if first else id if number == last + 1 else ""
        last = number
        yield number, id, text if first else line, first


def read_partitions(path: Path) -> tuple[dict[str, str], list[Fault]]:
    """id → split as the file spells it, of `Partitions.txt`: `Test1; MSP-PODCAST_0001_0008.wav`."""
    splits: dict[str, str] = {}
    faults = []
    spelt: dict[str, str] = {}
    for line, text in read_lines(path):
        split, semicolon, name = text.partition(";")
        id, where = id_of(name.rstrip("; \t")), f"{path.name}:{line}"
        if not semicolon or not id:
            what = f"wanted a split, `;` and a file name, found {text[:80]!r}; left out"
            faults.append(Fault(kind="malformed_row", where=where, what=what))
        elif id in splits:
            faults.append(Fault(kind="duplicate_row", where=where, what=f"{id} stands twice; the first row is used"))
        else:
            split = split.strip()
            splits[id] = spelt.setdefault(split, split)
    return splits, faults


def read_consensus(path: Path) -> tuple[dict[str, Released], list[Fault]]:
    """id → what the consensus file (.csv, .json, or labels.txt) says of it, in its order. Raises CorpusError."""
    found: dict[str, Released] = {}
    faults = []
    shared: dict[str, str] = {}  # half of the speakers' and all splits' names are the same few strings
    read = {".csv": _consensus_csv, ".json": _consensus_json}.get(path.suffix.lower(), _consensus_blocks)
    for where, id, values in read(path):
        if not id or values is None:
            faults.append(
                Fault(kind="malformed_row", where=where, what="has no file name or no EmoClass field; left out")
            )
        elif id in found:
            faults.append(Fault(kind="duplicate_row", where=where, what=f"{id} stands twice; the first row is used"))
        else:
            code, speaker, split = (shared.setdefault(value, value) for value in map(str.strip, values))
            known = speaker.lower() not in MISSING | {"unknown"}
            found[id] = Released(code, speaker if known else None, split, where)
    return found, faults


Values = tuple[str, str, str]


def _consensus_csv(path: Path) -> Iterator[tuple[str, str, Values | None]]:
    rows = read_rows(path)
    header = read_header(path, rows)
    if missing := [name for name in ("FileName", "EmoClass") if name.lower() not in header]:
        raise CorpusError(
            f"{path}: columns missing: {', '.join(missing)}; found: {', '.join(header) or 'an empty file'}"
        )
    column = {name: place for place, name in enumerate(header)}
    name_at, code_at = column["filename"], column["emoclass"]
    speaker_at, split_at = column.get("spkrid", len(header)), column.get("splitset", len(header))
    for line, fields in rows:
        whole = len(fields) > code_at
        fields += [""] * (len(header) + 1 - len(fields))
        values = (fields[code_at], fields[speaker_at], fields[split_at]) if whole else None
        yield f"{path.name}:{line}", id_of(fields[name_at]), values


def _consensus_json(path: Path) -> Iterator[tuple[str, str, Values | None]]:
    table = read_json(path)
    if not isinstance(table, dict):
        raise CorpusError(f"{path}: an object with a file name for each key is wanted; found {type(table).__name__}")
    for name, row in table.items():
        values = None
        if isinstance(row, dict) and "EmoClass" in row:
            values = (str(row["EmoClass"]), str(row.get("SpkrID", "")), str(row.get("Split_Set", "")))
        yield f"{path.name}: {name}", id_of(name), values


def _consensus_blocks(path: Path) -> Iterator[tuple[str, str, Values | None]]:
    for line, id, text, first in read_blocks(path):
        if first:
            yield f"{path.name}:{line}", id, (text.partition(";")[0], "", "")


def split_of(spelt: str) -> str | None:
    """The split that a release's word for it means, None if it is not one of theirs.

    >>> split_of("Validation"), split_of("Test_1"), split_of("Test9")
    ('development', 'test1', None)
    """
    split = normalise_split(spelt)
    return split if split in SPLITS else None


def read_transcripts(folder: Path, ids: Sequence[str]) -> dict[str, str]:
    """id → its transcript on one line, for those that are there and not blank.

    Eight readers: a release has 200,000 small files, and on a network drive each of them is a wait.
    """
    with os.scandir(folder) as entries:
        stems = {entry.name[:-4]: entry.name for entry in entries if entry.name[-4:].lower() == ".txt"}
    there = [id for id in ids if id in stems]
    parts = [there[start : start + 512] for start in range(0, len(there), 512)]

    def read(part: list[str]) -> list[str]:
        return [_one_line(folder / stems[id]) for id in part]

    with ThreadPoolExecutor(max_workers=8) as pool:
        texts = [text for found in pool.map(read, parts) for text in found]
    return {id: text for id, text in zip(there, texts, strict=True) if text}


def _one_line(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return " ".join(decode(file.read().removeprefix(b"\xef\xbb\xbf")).split())
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error})") from error
