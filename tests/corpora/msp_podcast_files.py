"""Invented releases of MSP-Podcast in the formats of its versions, and how tests read them.

Nothing here is from the corpus.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from serxbench.corpora import Corpus, open_corpus, parse_data, read_listing
from serxbench.records import Vote

CONSENSUS_HEADER = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n"


class Said(NamedTuple):
    """What one annotator said: the secondary field and the attributes as written, None where they are missing."""

    worker: str
    primary: str
    secondary: str | None = None
    attributes: tuple[str | None, str | None, str | None] = ("3.000000", "4.000000", "5.000000")

    def line(self) -> str:
        """The line of labels.txt and of EmoDetail."""
        values = [f"{name}:{value}" for name, value in zip("AVD", self.attributes, strict=True) if value is not None]
        secondary = [] if self.secondary is None else [self.secondary]
        return "; ".join([self.worker, self.primary, *secondary, *values]) + ";"


Release = Mapping[str, Sequence[Said]]


def write_1_12(path: Path, release: Release) -> None:
    """labels_detailed.csv of releases 1.7 to 1.12: the line in one column."""
    _write_csv(
        path, ["FileName", "EmoDetail"], [[f, said.line()] for f, all_said in release.items() for said in all_said]
    )


def write_1_6(path: Path, release: Release) -> None:
    """labels_detailed.csv of release 1.6: a column for each part."""
    header = ["FileName", "Workers", "EmoClass_Major", "EmoClass_Second", "EmoAct", "EmoVal", "EmoDom"]
    _write_csv(path, header, _columns(release, header))


def write_2_0(path: Path, release: Release) -> None:
    """labels_detailed.csv of release 2.0: a column for each part in an order of its own, and time stamps."""
    header = ["WorkerID", "Time", "EmoDom", "EmoClass_Second", "FileName", "EmoAct", "EmoVal", "EmoClass_Major"]
    _write_csv(path, header, _columns(release, header))


def write_json(path: Path, release: Release) -> None:
    """labels_detailed.json."""
    names = ("EmoClass_Major", "EmoClass_Second", "EmoAct", "EmoVal", "EmoDom")
    rows = {
        file: {
            said.worker: {
                name: value
                for name, value in zip(names, (said.primary, said.secondary, *said.attributes), strict=True)
                if value is not None
            }
            for said in all_said
        }
        for file, all_said in release.items()
    }
    path.with_suffix(".json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def write_blocks(path: Path, release: Release, codes: Mapping[str, str] | None = None) -> None:
    """labels.txt, in the folder of `path`."""
    blocks = (
        "\n".join([f"{file}; {(codes or {}).get(file, 'X')}; A:3.5; V:4.0; D:4.5;", *(s.line() for s in all_said)])
        for file, all_said in release.items()
    )
    path.with_name("labels.txt").write_text("\n\n".join(blocks) + "\n", encoding="utf-8", newline="")


WRITERS = {
    "1.6": write_1_6,
    "1.12": write_1_12,
    "2.0": write_2_0,
    "json": write_json,
    "labels.txt": write_blocks,
}


def _columns(release: Release, header: Sequence[str]) -> list[list[str]]:
    rows = []
    for file, all_said in release.items():
        for said in all_said:
            known = {
                "FileName": file,
                "Workers": said.worker,
                "WorkerID": said.worker,
                "Time": "2020-02-02 02:02:02",
                "EmoClass_Major": said.primary,
                "EmoClass_Second": said.secondary,
                **dict(zip(("EmoAct", "EmoVal", "EmoDom"), said.attributes, strict=True)),
            }
            rows.append([known[name] or "" for name in header])
    return rows


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n" if len(header) == 2 else "\r\n").writerows([header, *rows])


def write_files(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Writes each file (text as UTF-8) below `root` and returns it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


A, B, C = "MSP-PODCAST_0001_0008", "MSP-PODCAST_1655_0140_0028", "MSP-PODCAST_0002_0003"
HIDDEN = "MSP-PODCAST_test3_0001"

RELEASE = {
    f"{A}.wav": [
        Said("WORKER00000001", "Neutral", "Neutral,Concerned"),
        Said("WORKER00000002", "Other-tired, not \"sad\" [1]; or so?", "Other-tired"),
        Said("WORKER00000003", "neutral", "Neutral"),
    ],
    f"{B}.wav": [
        Said("WORKER00000002", "Angry", "Angry,Frustrated,Annoyed"),
        Said("WORKER00000001", "Other-", ""),
    ],
    f"{C}.wav": [Said("WORKER00000004", "Happy", "Amused,Excited,Confused,Other-proud")],
}  # fmt: skip

#: The same, worked by hand: frustrated and annoyed are Angry, amused and excited Happy, confused and concerned Other
#: and Fear; a free text is kept, a class in another case is not.
VOTES = {
    A: (
        Vote(annotator="WORKER00000001", primary="Neutral", secondary=("Neutral", "Fear")),
        Vote(annotator="WORKER00000002", primary="Other", secondary=("Other",),
             primary_text='Other-tired, not "sad" [1]; or so?'),
        Vote(annotator="WORKER00000003", primary="Neutral", secondary=("Neutral",)),
    ),
    B: (
        Vote(annotator="WORKER00000002", primary="Angry", secondary=("Angry",)),
        Vote(annotator="WORKER00000001", primary="Other"),
    ),
    C: (Vote(annotator="WORKER00000004", primary="Happy", secondary=("Happy", "Other")),),
}  # fmt: skip

CONSENSUS = (
    f"{CONSENSUS_HEADER}{A}.wav,N,2.2,4.0,2.6,127,Male,Test1\n"
    f"{B}.wav,X,3.2,3.0,3.6,Unknown,Unknown,Train\n{C}.wav,H,5.2,6.0,4.6,12,Female,Validation\n"
)
PARTITIONS = f"Test1; {A}.wav\nTrain; {B}.wav\nDevelopment; {C}.wav\nTest3; {HIDDEN}.wav\n"


def opened(root: Path, split: str = "all") -> Corpus:
    return open_corpus(f"msp-podcast:{split}", root)


def votes_of(corpus: Corpus) -> dict[str, tuple[Vote, ...]]:
    return {utterance.id: utterance.votes for utterance in corpus.utterances}


def faults_of(root: Path, split: str = "all") -> list[tuple[str, str]]:
    """Kind and place of every fault, in order."""
    data = f"msp-podcast:{split}"
    return [(fault.kind, fault.where) for fault in read_listing(data, *parse_data(data, root)).faults]
