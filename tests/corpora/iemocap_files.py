"""Writes trees as IEMOCAP distributes them, from invented turns, and reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from serxbench.corpora import CorpusRequest, Listing
from serxbench.corpora.iemocap import INFO, read
from serxbench.records import Utterance

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]"


def turn(id: str, code: str, *lines: str) -> str:
    """One turn of a label file; `lines` are those of its raters, with `|` for a tab."""
    head = f"[0.5000 - 2.2500]\t{id}\t{code}\t[3.0000, 2.5000, 2.5000]"
    return "\n".join((head, *(line.replace("|", "\t") for line in lines))) + "\n"


#: Invented turns, with every form of line that the format has.
IMPRO = (
    turn(
        "Ses01M_impro01_F000",
        "neu",
        "C-E2:|Neutral;|()",
        "C-E3:|Neutral; Sadness;|(flat; then (almost) sad\ta bit; Anger;)",
        "C-E4:|Neutral state;|()",
        "C-F1:|Excited;|(curious)",
        "A-E3:|val 3; act 2; dom  2;|()",
        "A-F1:|val 4; act 4; dom  ;|(Neutral;)",
    ),
    turn(
        "Ses01M_impro01_M000",
        "xxx",
        "C-E1:|HAPPINESS;  excited ;|(caf\xe9 \x85 C-E9:)",
        "C-E2:|Frustration; Other; frustration;|()",
        "C-E3:|Surprise;",
        "C-E4: Fear; (no tabs here)",
        "C-M1:|Disgust; Anger;|()",
    ),
)


def listing_of(root: Path, split: str = "all", **options: str) -> Listing:
    """What is read under these options, the others at their default."""
    defaults = {option.name: option.default for option in INFO.options}
    return read(CorpusRequest(split=split, root=root, options=defaults | options))


def votes_of(utterance: Utterance) -> list[tuple[str | None, str]]:
    """(annotator, class) of each vote."""
    return [(vote.annotator, vote.primary) for vote in utterance.votes]


def kinds(listing: Listing) -> Counter[str]:
    """How many faults of each kind."""
    return Counter(fault.kind for fault in listing.faults)


def write_labels(root: Path, dialogue: str, *turns: str, line_end: str = "\n") -> Path:
    """The label file of a dialogue, in the folder of its session."""
    text = f"{HEADER}\n\n" + "\n".join(turns) + "\n"
    return _write(root / _dialog(dialogue) / "EmoEvaluation" / f"{dialogue}.txt", text.replace("\n", line_end))


def write_transcript(root: Path, dialogue: str, text: str) -> Path:
    """The transcript of a dialogue."""
    return _write(root / _dialog(dialogue) / "transcriptions" / f"{dialogue}.txt", text)


def write_clip(root: Path, id: str) -> Path:
    """An empty file where the clip of an utterance would be."""
    dialogue = id.rpartition("_")[0]
    path = root / f"Session{dialogue[4]}" / "sentences" / "wav" / dialogue / f"{id}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def write_sessions(root: Path, sessions: Mapping[int, str]) -> None:
    """Sessions of one turn each, with its released label."""
    for session, code in sessions.items():
        dialogue = f"Ses0{session}F_impro01"
        write_labels(root, dialogue, turn(f"{dialogue}_F000", code, "C-E1:|Neutral;|()"))


def _dialog(dialogue: str) -> Path:
    return Path(f"Session{dialogue[4]}", "dialog")


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("latin-1"))
    return path
