"""The votes of MSP-Podcast: one line an annotator and file, in every format that a release writes it in.

The line is `WORKER00000123; Neutral; Neutral,Concerned; A:3.000000; V:4.000000; D:4.000000;`: who, the primary emotion,
the secondary ones, and activation, valence and dominance from 1 to 7, which are checked and not kept. An annotator who
chose Other typed what it was, and that text may hold anything, so a line is read from both of its ends.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from serxbench.corpora._label_maps import LabelMap
from serxbench.corpora._listing import Fault
from serxbench.corpora._msp_files import MISSING, id_of, read_blocks, read_header, read_json, read_rows
from serxbench.emotions import OTHER
from serxbench.errors import CorpusError
from serxbench.records import Vote

#: The parts of a line as they stand there: worker, primary, secondary, attributes.
Annotation = tuple[str, str, str, str]

#: Line number (0 where the format has none), id, and the parts, the line that holds them, or None if it has neither.
Row = tuple[int, str, Annotation | str | None]

_ATTRIBUTES = frozenset("AVD")


def read_votes(
    path: Path, listed: Mapping[str, bool] | None, labels: LabelMap
) -> tuple[dict[str, tuple[Vote, ...]], list[Fault]]:
    """id → votes in the order of the file, and the faults of its rows. Raises CorpusError for missing columns.

    listed: id → whether its votes are wanted; those of files that are not in it are faults. None wants all.
    """
    counted = _Votes(path, labels)
    unlisted: dict[str, int] = {}
    for line, id, found in _rows_of(path):
        wanted = listed.get(id) if listed is not None else True
        if found is None or not id:
            counted.report("malformed_row", line, f"{id or 'no name'}: a row without file or annotation; left out")
        elif wanted:
            counted.add(line, id, found)
        elif wanted is None:
            unlisted.setdefault(id, line)
    for id, line in unlisted.items():
        counted.report("unlisted_votes", line, f"{id}: votes of a file that no other label file names; left out")
    return counted.close(), counted.faults


class _Votes:
    """The votes read so far. Strings that recur are kept once: a release has 1.2 million votes of 14,000 workers."""

    def __init__(self, path: Path, labels: LabelMap) -> None:
        self.faults: list[Fault] = []
        self._path, self._labels = path, labels
        self._find_primary = functools.cache(functools.partial(find_primary, labels))
        self._find_secondary = functools.cache(functools.partial(find_secondary, labels))
        self._find_problem = functools.cache(find_attribute_problem)
        #: id → votes, and the hash of each one's row: not all that a row says is kept.
        self._held: dict[str, tuple[list[Vote], list[int]]] = {}

    def report(self, kind: str, line: int, what: str) -> None:
        """Keeps a fault of one line, or of the whole file for line 0."""
        where = f"{self._path.name}:{line}" if line else self._path.name
        self.faults.append(Fault(kind=kind, where=where, what=what))

    def add(self, line: int, id: str, found: Annotation | str) -> None:
        """Keeps one vote, or says why it cannot."""
        parts = split_line(found, self._labels) if isinstance(found, str) else found
        worker = parts[0].strip() if parts else ""
        if parts is None or not worker:
            self.report("malformed_row", line, f"{id}: wanted a worker and a primary emotion; the vote is left out")
            return
        _, primary, secondary, attributes = parts
        label, text = self._find_primary(primary)
        if label is None:
            what = f"{id}: the primary emotion {primary.strip()!r} is none of the corpus's; the vote is left out"
            self.report("unknown_label", line, what)
            return
        if problem := self._find_problem(attributes):
            self.report("attribute_range", line, f"{id}: {problem}; the vote is kept, attributes are not used")
        vote = Vote(
            primary=label,
            annotator=sys.intern(worker),
            secondary=self._find_secondary(secondary),
            primary_text=text,
        )
        held = self._held.get(id)
        if held is None:
            held = self._held[id] = ([], [])
        held[0].append(vote)
        held[1].append(hash(found))

    def close(self) -> dict[str, tuple[Vote, ...]]:
        """All votes, without rows that repeat another in full; afterwards there is nothing left to add to."""
        found = {}
        for id in list(self._held):
            votes, rows = self._held.pop(id)
            if len({vote.annotator for vote in votes}) < len(votes):
                votes = self._without_repeats(id, votes, rows)
            found[id] = tuple(votes)
        return found

    def _without_repeats(self, id: str, votes: list[Vote], rows: list[int]) -> list[Vote]:
        """A worker's second answer that differs in anything is a vote of its own, as a consensus counts rows."""
        once = list(dict.fromkeys(zip(votes, rows, strict=True)))
        if n_repeats := len(votes) - len(once):
            what = f"{id}: {n_repeats} of its {len(votes)} rows repeat another in full; counted once"
            self.report("duplicate_vote", 0, what)
        return [vote for vote, _ in once]


def find_primary(labels: LabelMap, text: str) -> tuple[str | None, str | None]:
    """The class of a primary emotion (None if it is none), and the text where it says more than the class.

    >>> from serxbench.corpora._label_maps import load_label_maps
    >>> standard = load_label_maps("msp_podcast")["standard"]
    >>> find_primary(standard, " neutral"), find_primary(standard, "Other-curious"), find_primary(standard, "Other-")
    (('Neutral', None), ('Other', 'Other-curious'), ('Other', None))
    """
    text = text.strip()
    label = labels.find(text)
    if label is None and text.lower().startswith("other"):
        label = OTHER
    same = label is not None and text.lower().rstrip("- ") == label.lower()
    return label, None if same else text


def find_secondary(labels: LabelMap, text: str) -> tuple[str, ...]:
    """The classes of a list of secondary emotions, each once in their order; a tag that is not listed is Other.

    The free text of an Other may have commas in it: its pieces are Other too, unless one is itself a tag.
    """
    tags = (tag.strip() for tag in text.split(","))
    return tuple(dict.fromkeys(labels.find(tag) or OTHER for tag in tags if tag.lower() not in MISSING))


def find_attribute_problem(attributes: str) -> str | None:
    """What is wrong with a line's attributes; None if each is a number from 1 to 7, or missing.

    >>> find_attribute_problem("A:3.000000; V:NA;"), find_attribute_problem("A:3; V:8; D:1;")
    (None, "'V:8' is not from 1 to 7")
    """
    for part in filter(None, map(str.strip, attributes.split(";"))):
        value = part.partition(":")[2].strip()
        if value.lower() in MISSING:
            continue
        try:
            fits = 1 <= float(value) <= 7
        except ValueError:
            fits = False
        if not fits:
            return f"{part!r} is not from 1 to 7"
    return None


def split_line(line: str, labels: LabelMap) -> Annotation | None:
    """The parts of an annotator's line, None if it has no primary emotion.

    >>> from serxbench.corpora._label_maps import load_label_maps
    >>> split_line("WORKER1; Other-a; b; Neutral,Sad; A:3; V:4; D:NA;", load_label_maps("msp_podcast")["standard"])
    ('WORKER1', 'Other-a; b', 'Neutral,Sad', 'A:3; V:4; D:NA')
    """
    parts = line.split(";", 3)
    if len(parts) == 4 and _is_whole(parts[3]):
        return parts[0], parts[1], parts[2], parts[3]
    worker, *rest = (part.strip() for part in line.split(";"))
    while rest and not rest[-1]:
        rest.pop()
    attributes: list[str] = []
    while rest and _letter(rest[-1]) in _ATTRIBUTES:
        attributes.insert(0, rest.pop())
    if not rest:
        return None
    length = _primary_length(rest, labels)
    return worker, "; ".join(rest[:length]), "; ".join(rest[length:]), "; ".join(attributes)


@functools.lru_cache(maxsize=1 << 16)
def _is_whole(text: str) -> bool:
    """Whether the text is A, V and D and nothing else: then every `;` before it stands between two fields."""
    return [_letter(part.strip()) for part in text.split(";") if part.strip()] == ["A", "V", "D"]


def _letter(part: str) -> str:
    return part[0].upper() if part[1:2] == ":" else ""


def _primary_length(parts: list[str], labels: LabelMap) -> int:
    """How many parts are the primary emotion: several only where the text of an Other has `;` in it.

    Then the secondary emotions are what begins with one of the known tags, or a last part that says there are none.
    """
    if len(parts) < 3 or not parts[0].lower().startswith("other"):
        return 1
    for place, part in enumerate(parts[1:-1], start=1):
        if _is_tag(part.partition(",")[0], labels):
            return place
    last = parts[-1].partition(",")[0]
    return len(parts) - (last.lower() in MISSING or _is_tag(last, labels))


def _is_tag(text: str, labels: LabelMap) -> bool:
    return labels.find(text) is not None or text.lower().startswith("other")


def _rows_of(path: Path) -> Iterator[Row]:
    """Every row of a detail file, whatever its format, in its order."""
    if path.suffix.lower() == ".json":
        return _json_rows(path)
    if path.suffix.lower() == ".txt":
        return ((line, id, text) for line, id, text, first in read_blocks(path) if not first)
    return _csv_rows(path)


def _csv_rows(path: Path) -> Iterator[Row]:
    """Of releases 1.7 to 1.12 (FileName, EmoDetail), and of 1.6 and 2.0 (a column for each part, in any order)."""
    rows = read_rows(path)
    header = read_header(path, rows)
    columns = {name: place for place, name in enumerate(header)}
    if {"filename", "emodetail"} <= columns.keys():
        return _line_rows(rows, columns)
    columns["worker"] = next((columns[name] for name in ("worker", "workers", "workerid") if name in columns), -1)
    if "filename" in columns and "emoclassmajor" in columns and columns["worker"] >= 0:
        return _column_rows(rows, columns)
    raise CorpusError(
        f"{path}: columns missing: wanted FileName with EmoDetail, or with WorkerID (or Workers) and EmoClass_Major; "
        f"found: {', '.join(header) or 'an empty file'}"
    )


def _line_rows(rows: Iterator[tuple[int, list[str]]], columns: Mapping[str, int]) -> Iterator[Row]:
    name_at, line_at, n = columns["filename"], columns["emodetail"], len(columns)
    name = id = ""
    for line, fields in rows:
        if len(fields) != n:
            if len(fields) < n or line_at != n - 1:
                yield line, _name(fields, name_at), None
                continue
            fields[line_at:] = (",".join(fields[line_at:]),)  # a line with commas that was not quoted
        if fields[name_at] != name:  # the rows of a file follow each other
            name = fields[name_at]
            id = id_of(name)
        yield line, id, fields[line_at]


def _name(fields: list[str], place: int) -> str:
    return id_of(fields[place]) if place < len(fields) else ""


def _column_rows(rows: Iterator[tuple[int, list[str]]], columns: Mapping[str, int]) -> Iterator[Row]:
    n = max(columns.values()) + 1
    places = [columns[name] for name in ("filename", "worker", "emoclassmajor")]
    others = [columns.get(name, n) for name in ("emoclasssecond", "emoact", "emoval", "emodom")]
    for line, fields in rows:
        if len(fields) <= max(places) or any(field.strip() for field in fields[n:]):
            yield line, _name(fields, places[0]), None
            continue
        name, worker, primary = (fields[place] for place in places)
        secondary, *values = (fields[place] if place < len(fields) else "" for place in others)
        yield line, id_of(name), (worker, primary, secondary, _attributes(*values))


def _attributes(activation: str, valence: str, dominance: str) -> str:
    return f"A:{activation}; V:{valence}; D:{dominance};"


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of a JSON object: a key that stands twice is seen twice, and a dict takes twice the room."""


def _json_rows(path: Path) -> Iterator[Row]:
    table = read_json(path, _json_object)
    if not isinstance(table, _Pairs):
        raise CorpusError(f"{path}: an object with a file name for each key is wanted; found {type(table).__name__}")
    for name, workers in table:
        if not isinstance(workers, _Pairs):
            yield 0, id_of(name), None
            continue
        for worker, annotation in workers:
            yield 0, id_of(name), (worker, *annotation) if isinstance(annotation, tuple) else None


def _json_object(pairs: list[tuple[str, Any]]) -> _Pairs | tuple[str, str, str]:
    """An annotation as primary, secondary and attributes; any other object as its pairs."""
    values = {key: "" if value is None else str(value) for key, value in pairs if not isinstance(value, (list, tuple))}
    if "EmoClass_Major" not in values:
        return _Pairs(pairs)
    attributes = _attributes(*(values.get(name, "") for name in ("EmoAct", "EmoVal", "EmoDom")))
    return values["EmoClass_Major"], values.get("EmoClass_Second", ""), attributes
