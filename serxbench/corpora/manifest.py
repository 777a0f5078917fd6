"""A corpus of one's own: `--data manifest:PATH`, a JSONL or CSV file with one utterance a row.

Columns: `id` (needed), `audio` (path, relative to `--data-root` or else to the file; may be absent when answers made
elsewhere are scored), `transcript`, `speaker`, `group`, `split`, `consensus`, `votes`. In CSV, `votes` is JSON.

`votes` is a list of {"annotator", "primary", "secondary", "primary_text"}, of which only primary is needed, or label
counts such as {"Angry": 3, "Neutral": 2}. Labels are the eight classes or Other, in any case; `consensus` may also be
X. `primary_text` is the annotator's own words, where they say more than the class.

`serxbench data export` writes this format.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from serxbench.corpora import CorpusInfo, CorpusRequest, Listing
from serxbench.emotions import EMOTIONS, NO_AGREEMENT, OTHER
from serxbench.errors import CorpusError, UnknownName, UsageError
from serxbench.records import Utterance, Vote

INFO = CorpusInfo(
    name="manifest",
    description="A JSONL or CSV file of your own: --data manifest:PATH (columns: id, audio, votes, consensus, ...).",
    licence="yours",
    takes_path=True,
)

COLUMNS = ("id", "audio", "transcript", "speaker", "group", "split", "consensus", "votes")

_VOTE_KEYS = ("annotator", "primary", "secondary", "primary_text")

_LABELS = {label.lower(): label for label in (*EMOTIONS, OTHER)}


def read(request: CorpusRequest) -> Listing:
    """Every row of the file (or of one split of it), in its order. Raises CorpusError naming file and line."""
    assert request.argument is not None
    path = Path(request.argument).expanduser()
    if not path.is_file():
        raise UsageError(f"--data manifest:{request.argument}: no such file")
    base = request.root or path.parent
    utterances = []
    for line, row in _rows(path):
        try:
            utterance = _utterance(row, base)
        except (CorpusError, UnknownName) as error:
            raise CorpusError(f"{path}:{line}: {error}") from None
        if request.split in (None, utterance.split):
            utterances.append(utterance)
    return Listing(utterances=utterances)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".csv"):
        raise CorpusError(f"{path}: a .jsonl or .csv file is wanted")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if suffix == ".csv":
                reader = csv.DictReader(file)
                for row in reader:
                    yield reader.line_num, {key: value for key, value in row.items() if value not in ("", None)}
                return
            for line, text in enumerate(file, start=1):
                if text.strip():
                    yield line, _json_object(path, line, text)
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: is not UTF-8 text ({error})") from error


def _json_object(path: Path, line: int, text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except ValueError as error:
        raise CorpusError(f"{path}:{line}: not valid JSON ({error})") from error
    if not isinstance(row, dict):
        raise CorpusError(f"{path}:{line}: a JSON object is wanted; found {type(row).__name__}")
    return {key: value for key, value in row.items() if value is not None}


def _utterance(row: Mapping[str, Any], base: Path) -> Utterance:
    for key in row:
        if key not in COLUMNS:
            raise UnknownName("column", str(key), COLUMNS)
    if not str(row.get("id", "")).strip():
        raise CorpusError("has no id")
    texts = {name: str(row[name]) for name in ("transcript", "speaker", "group", "split") if name in row}
    return Utterance(
        id=str(row["id"]),
        audio=base / str(row["audio"]) if "audio" in row else None,
        votes=_votes(row["votes"]) if "votes" in row else (),
        consensus=_consensus(str(row["consensus"])) if "consensus" in row else None,
        **texts,
    )


def _label(text: object) -> str:
    label = _LABELS.get(str(text).strip().lower())
    if label is None:
        raise UnknownName("emotion class", str(text), _LABELS.values())
    return label


def _consensus(text: str) -> str:
    return NO_AGREEMENT if text.strip().upper() == NO_AGREEMENT else _label(text)


def _votes(value: object) -> tuple[Vote, ...]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise CorpusError(f"votes: not valid JSON ({error}): {value!r}") from None
    if isinstance(value, Mapping):
        return tuple(Vote(primary=_label(key)) for key, count in value.items() for _ in range(_count(key, count)))
    if isinstance(value, list):
        return tuple(_vote(entry) for entry in value)
    raise CorpusError(f"votes: a list of votes or label counts wanted; found {value!r}")


def _count(label: str, count: object) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise CorpusError(f"votes: the count of {label!r} must be a whole number from 0 up; found {count!r}")
    return count


def _vote(entry: object) -> Vote:
    if isinstance(entry, str):
        return Vote(primary=_label(entry))
    if not isinstance(entry, Mapping) or "primary" not in entry:
        raise CorpusError(f"votes: each needs a 'primary' label; found {entry!r}")
    for key in entry:
        if key not in _VOTE_KEYS:
            raise UnknownName("key of a vote", str(key), _VOTE_KEYS)
    secondary = entry.get("secondary") or []
    if not isinstance(secondary, list):
        raise CorpusError(f"votes: 'secondary' must be a list of labels; found {secondary!r}")
    annotator, words = entry.get("annotator"), entry.get("primary_text")
    return Vote(
        annotator=None if annotator is None else str(annotator),
        primary=_label(entry["primary"]),
        secondary=tuple(_label(label) for label in secondary),
        primary_text=None if words is None else str(words),
    )
