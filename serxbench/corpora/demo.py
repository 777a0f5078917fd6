"""The embedded synthetic corpus: espeak-ng speech with simulated annotators. See serxbench/demo/data/README.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from serxbench.corpora import CorpusInfo, CorpusRequest, Listing
from serxbench.errors import CorpusError
from serxbench.records import Utterance, Vote

INFO = CorpusInfo(
    name="demo",
    description="Synthetic speech (espeak-ng) with simulated annotators. Its scores say nothing about real speech.",
    licence="CC0-1.0",
    splits=("train", "development", "test"),
    default_split="test",
    consensus_is_plurality=True,
    upload_allowed=True,
)

DATA = Path(__file__).parent.parent / "demo" / "data"


def read(request: CorpusRequest) -> Listing:
    """The utterances of one split, in the order of the file. `--data-root` may name a rebuilt copy of the data."""
    folder = request.root or DATA
    path = folder / "utterances.jsonl"
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; rebuild the corpus with `python -m serxbench.demo.generate`")
    with path.open(encoding="utf-8") as lines:
        rows = (json.loads(line) for line in lines)
        return Listing(utterances=[_utterance(row, folder) for row in rows if row["split"] == request.split])


def _utterance(row: dict[str, Any], folder: Path) -> Utterance:
    votes = tuple(Vote(**{**vote, "secondary": tuple(vote.get("secondary", ()))}) for vote in row["votes"])
    return Utterance(
        id=row["id"],
        audio=folder / row["audio"],
        transcript=row["transcript"],
        speaker=row["speaker"],
        group=row.get("group"),
        split=row["split"],
        votes=votes,
        consensus=row["consensus"],
    )
