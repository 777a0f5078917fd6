"""The folder of a judging: what lies in it.

manifest.json     everything that moves a verdict: judge, prompts, pairs, texts, seeds, and the hashes of the runs'
files judgments.jsonl   one record for each question, in the order of the pairs; written once all are answered
canaries.jsonl    the same for the canaries
win_rates.json    the numbers, with the hashes of the two files they were made from; and as a figure, .svg and .png
timings.jsonl     how long it took; kept apart so that the other files compare byte for byte
lock              held while a process writes
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serxbench.errors import ManifestMismatch, RunError
from serxbench.hashing import hash_file
from serxbench.records import JsonRecord
from serxbench.runs import LOCK, MANIFEST, TIMINGS, RecordT, differences, read_jsonl, write_atomically

JUDGMENTS = "judgments.jsonl"
CANARIES = "canaries.jsonl"
WIN_RATES = "win_rates.json"

#: Raised by one when a change makes older folders unreadable.
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class JudgeManifest(JsonRecord):
    """Everything that moves a verdict, and nothing else: no time, no path, no host. code: see judging.identity."""

    schema: int = SCHEMA
    kind: str = "judging"
    serxbench: str
    judge: Mapping[str, Any]
    code: str
    prompts: Mapping[str, Any]
    systems: Mapping[str, Any]
    corpus: Mapping[str, Any]
    pairs: Mapping[str, Any]
    texts: Mapping[str, Any]
    canaries: Mapping[str, Any]


class JudgeFolder:
    """A folder that one judging is written to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, manifest: JudgeManifest) -> None:
        """Writes the manifest, or finds the same one there. Raises ManifestMismatch if the folder holds another."""
        file = self.path / MANIFEST
        if file.is_file():
            try:
                row = json.loads(file.read_text(encoding="utf-8"))
                existing = JudgeManifest.from_dict(row)
            except (ValueError, TypeError) as error:
                raise RunError(f"{self.path}: holds no judging of this version; give another --out") from error
            if changes := differences(existing, manifest):
                raise ManifestMismatch(
                    f"{self.path} holds another judging: {'; '.join(changes)}. "
                    f"Give another --out, or delete the folder to start over"
                )
            return
        if any(entry.name != LOCK for entry in self.path.iterdir()):
            raise RunError(f"{self.path}: is not empty and holds no judging; give another --out")
        write_atomically(file, json.dumps(json.loads(manifest.to_json()), ensure_ascii=False, indent=2))

    def read(self, name: str, kind: type[RecordT]) -> list[RecordT] | None:
        """The records of one of its files; None if it is not there. Raises RunError."""
        file = self.path / name
        return read_jsonl(file, kind) if file.is_file() else None

    def write(self, name: str, records: Iterable[JsonRecord]) -> None:
        """Replaces one of its files atomically."""
        write_atomically(self.path / name, "".join(record.to_json() + "\n" for record in records))

    def write_numbers(self, numbers: Mapping[str, Any], sources: Sequence[str]) -> dict[str, Any]:
        """Replaces win_rates.json, which names the files that it was made from and their hashes; gives what it
        holds."""
        made_from = {name: hash_file(self.path / name) for name in sources if (self.path / name).is_file()}
        whole = {"schema": SCHEMA, "made_from": made_from, **numbers}
        write_atomically(self.path / WIN_RATES, json.dumps(whole, ensure_ascii=False, indent=2, allow_nan=False))
        return whole

    def note_timing(self, **fields: Any) -> None:
        """Appends one line to the timings."""
        with (self.path / TIMINGS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(fields) + "\n")
