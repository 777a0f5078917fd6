"""IEMOCAP's label files and transcripts, line by line, in the corpus's own words.

A turn of `dialog/EmoEvaluation/<dialog>.txt`, with tabs between the fields:

    [0.5000 - 2.2500]  Ses01F_impro01_F000  neu  [3.0000, 2.5000, 2.5000]
    C-E2:  Neutral; Sadness;  (free text)          an outside rater; each label is closed by a semicolon
    C-F1:  Neutral;  ()                            the actor's evaluation of herself (C-M1: himself)
    A-E3:  val 3; act 2; dom  2;  ()               attributes, which are not read
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from serxbench.corpora._files import read_text
from serxbench.corpora._listing import Fault
from serxbench.emotions import NO_AGREEMENT

#: Codes of the released labels → the name that raters wrote for the same emotion; `xxx`: the raters did not agree.
CODES = {
    "neu": "neutral",
    "fru": "frustration",
    "exc": "excited",
    "ang": "anger",
    "sad": "sadness",
    "hap": "happiness",
    "sur": "surprise",
    "fea": "fear",
    "dis": "disgust",
    "oth": "other",
    "xxx": NO_AGREEMENT,
}

_ALIASES = {"neutral state": "neutral"}
_NAMES = frozenset(CODES.values()) - {NO_AGREEMENT}

_HEADER = re.compile(r"\[\s*[\d.]+\s*-\s*[\d.]+\s*\]\s+(\S+)\s+([^\s\[]+)(?:\s+\[.*)?")
_RATING = re.compile(r"C-([EFM]\d+)\s*:(.*)")
_TRANSCRIPT = re.compile(r"(Ses\d\d\S+)\s+\[[\d.\s-]+\]\s*:(.*)")

Line = tuple[int, str]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One utterance as its label file has it.

    code: the released label as written. ratings: rater (`E2`; `F1`, `M1` for the actors) → own names, each once.
    where: file and line of its header.
    """

    id: str
    session: int
    code: str
    ratings: Mapping[str, tuple[str, ...]]
    where: str

    @property
    def released(self) -> str | None:
        """The released label by its own name, `X` for no agreement, None for a code that is not the corpus's."""
        return CODES.get(self.code)

    @property
    def dialogue(self) -> str:
        """The dialogue that it is a turn of."""
        return self.id.rpartition("_")[0]

    @property
    def speaker(self) -> str:
        """Session and sex of who speaks, which is the first letter of the id's last part.

        The letter after the session number says which of the two actors wore the motion capture markers, in all turns
        of the dialogue alike.

        >>> Turn(id="Ses01M_impro01_F003", session=1, code="neu", ratings={}, where="").speaker
        'Ses01F'
        """
        return self.id[:5] + self.id.rpartition("_")[2][0]


def read_turns(path: Path, session: int, *, self_evaluations: bool) -> tuple[list[Turn], list[Fault]]:
    """The turns of one label file, in its order, and what could not be read.

    Lines of the actors' self-evaluations are passed over, faulty or not, unless `self_evaluations`.
    """
    turns, faults = [], []
    for block in _blocks(read_text(path, "latin-1")):
        number, header = block[0]
        where = f"{path.name}:{number}"
        match = _HEADER.fullmatch(header)
        if match is None or not re.fullmatch(rf"Ses0{session}[FM]_\w+_[FM][A-Za-z0-9]+", match[1]):
            what = (
                f"{header[:60]!r}: wanted [START - END], the id of an utterance of session {session} and a label; "
                "left out, with the lines up to the next turn"
            )
            faults.append(Fault(kind="malformed_row", where=where, what=what))
            continue
        ratings, unread = _ratings(path.name, block[1:], self_evaluations)
        turns.append(Turn(id=match[1], session=session, code=match[2].lower(), ratings=ratings, where=where))
        faults += unread
    return turns, faults


def _blocks(text: str) -> Iterator[list[Line]]:
    """The numbered lines of each turn, its header first. Lines before the first turn that say nothing are dropped."""
    block: list[Line] = []
    # Not splitlines(): in latin-1 it would also break at bytes that are part of a comment.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line or line.startswith("%"):
            continue
        if line.startswith("[") and block:
            yield block
            block = []
        block.append((number, line))
    if block:
        yield block


def _ratings(file: str, lines: list[Line], self_evaluations: bool) -> tuple[dict[str, tuple[str, ...]], list[Fault]]:
    ratings: dict[str, tuple[str, ...]] = {}
    faults = []
    for number, line in lines:
        where = f"{file}:{number}"
        match = _RATING.fullmatch(line)
        if match is None:
            if not line.startswith("A-"):
                what = f"{line[:20]!r} is neither a turn nor a rater's line; passed over"
                faults.append(Fault(kind="malformed_row", where=where, what=what))
        elif self_evaluations or match[1].startswith("E"):
            if match[1] in ratings:
                what = f"rater {match[1]} stands twice in this turn; the first line is used"
                faults.append(Fault(kind="duplicate_row", where=where, what=what))
                continue
            ratings[match[1]], unread = _names(match[2], where)
            faults += unread
    return {rater: names for rater, names in ratings.items() if names}, faults


def _names(text: str, where: str) -> tuple[tuple[str, ...], list[Fault]]:
    """The own names before a rater's comment. The comment is cut off first, because it may hold anything."""
    said = [name.strip().lower() for name in re.split(r"[\t(]", text.strip(), maxsplit=1)[0].split(";")]
    names = dict.fromkeys(_ALIASES.get(name, name) for name in said if name)
    faults = []
    if not names:
        faults.append(Fault(kind="malformed_row", where=where, what="a rater's line without a label; left out"))
    for name in names:
        if name not in _NAMES:
            what = f"{name!r} is none of {', '.join(sorted(_NAMES))}; this vote is left out"
            faults.append(Fault(kind="unknown_label", where=where, what=what))
    return tuple(name for name in names if name in _NAMES), faults


def read_transcripts(path: Path) -> dict[str, str]:
    """Utterance id → text, as released (`[LAUGHTER]` and the like are kept). Lines without an id are no utterances."""
    matches = (_TRANSCRIPT.fullmatch(line.strip()) for line in read_text(path, "latin-1").split("\n"))
    return {match[1]: match[2].strip() for match in matches if match and match[2].strip()}
