"""Runs to audit: answers made elsewhere on a corpus whose votes are known, and people who code them without fail."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from conftest import write_rows

from serxbench.corpora import open_corpus
from serxbench.emotions import EMOTIONS
from serxbench.runs import Run
from serxbench.stages.import_answers import import_answers
from serxbench.stages.parse import parse

#: What an answer says, and texts that say it. `identity` reads the bare words rightly and nothing else.
SAYINGS = ("{}", "The speaker sounds {}.", "=SUM(A1) I hear {}", "<script>alert('{}')</script> So: {}")
NOTHING = ("I'm sorry, I cannot determine the emotion.", "The weather is fine.")


def make_corpus(folder: Path, n: int = 240) -> Path:
    """A manifest: 12 speakers, five votes an item, three of which are for its class."""
    rng = np.random.default_rng(7)
    rows = []
    for item in range(n):
        truth, others = int(rng.integers(8)), rng.integers(0, 8, 2)
        votes = [EMOTIONS[truth]] * 3 + [EMOTIONS[other] for other in others]
        rows.append({"id": f"clip-{item:03}", "speaker": f"s{item % 12}", "votes": votes})
    return write_rows(folder / "corpus.jsonl", rows)


def make_run(folder: Path, name: str, corpus: Path, *, hit: float = 0.6, seed: int = 1, mute: int = 0) -> Run:
    """A run read by `rules` and `identity`, and scored by the first. mute: answers that have no text."""
    rng = np.random.default_rng(seed)
    opened = open_corpus(f"manifest:{corpus}", None)
    rows = []
    for number, utterance in enumerate(opened.utterances):
        label = utterance.votes[0].primary if rng.random() < hit else EMOTIONS[int(rng.integers(8))]
        text = str(rng.choice(SAYINGS)).replace("{}", label.lower())
        if rng.random() < 0.1:
            text = str(rng.choice(NOTHING))
        rows.append({"id": utterance.id, "response": " " if number < mute else text})
    file = write_rows(folder / f"{name}.jsonl", rows)
    run = import_answers(file, name, ("open", False), opened, folder / "runs" / name)
    parse(run, ["rules", "identity"])
    return run


def read_sheet(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill(sheet: Path, to: Path, code: Callable[[dict[str, str]], str]) -> Path:
    """A filled copy of a sheet."""
    return write_sheet_rows(to, [{**row, "label": code(row)} for row in read_sheet(sheet)])


def write_sheet_rows(path: Path, rows: Sequence[dict[str, Any]], **form: Any) -> Path:
    with path.open("w", encoding=form.pop("encoding", "utf-8-sig"), newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), **form)
        writer.writeheader()
        writer.writerows(rows)
    return path


def says(row: dict[str, str]) -> str:
    """What an answer of `make_run` says."""
    found = [label for label in EMOTIONS if label.lower() in row["answer"].lower()]
    if found:
        return found[0]
    return "refused" if "sorry" in row["answer"] else "off_format"
