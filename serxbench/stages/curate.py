"""rationales.jsonl → curated.jsonl: the same rows in the same order, each with `kept`, `reasons` and its clean text.

Nothing disappears. A line that is no row stays as its text, rejected as `malformed`.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serxbench.errors import UsageError
from serxbench.hashing import hash_file
from serxbench.progress import Progress
from serxbench.rationales.duplicates import near_duplicates
from serxbench.rationales.rules import REASONS, Bounds, Examined, Examiner, Reason
from serxbench.runs import write_atomically

_TEXT_FIELDS = ("id", "emotion", "transcript", "rationale")


@dataclass(frozen=True, kw_only=True)
class Curation:
    """What became of the rows of one file.

    reasons, removed: how many rows were rejected for, and had cut out, what. emotions: label → (kept, all).
    """

    rows: Sequence[Mapping[str, Any]]
    reasons: Mapping[str, int]
    removed: Mapping[str, int]
    emotions: Mapping[str, tuple[int, int]]
    made_by: Mapping[str, Any]

    @property
    def n_kept(self) -> int:
        """How many rows are fit to train on."""
        return sum(row["kept"] for row in self.rows)

    def summary(self) -> dict[str, Any]:
        """The counts, for a script."""
        return {
            "n": len(self.rows),
            "n_kept": self.n_kept,
            "reasons": dict(self.reasons),
            "removed": dict(self.removed),
            "emotions": {name: {"kept": kept, "n": n} for name, (kept, n) in self.emotions.items()},
        }


def curate(source: Path, out: Path, bounds: Bounds, progress: Progress) -> Curation:
    """Examines every row of `source` and writes them all to `out`; beside it `OUT.derived.json` says from what.

    Raises UsageError if there is nothing to read, if `out` is the source, or for thresholds that make no sense.
    """
    _check(source, out, bounds)
    lines = source.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    examiner = Examiner(bounds=bounds)
    rows: list[dict[str, Any]] = []
    texts: dict[int, tuple[str, str]] = {}
    progress.start("examining rationales", total=len(lines), done=0)
    try:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                row, fit = _examine(line, number, examiner)
                if fit:
                    texts[len(rows)] = (f"{row['id']}", str(row["rationale"]))
                rows.append(row)
            progress.advance(1, 0)
    finally:
        progress.finish()
    _reject_duplicates(rows, texts, bounds.similarity)
    made_by = {"rules": examiner.sha256, "word_table": examiner.table.sha256, **asdict(bounds)}
    write_atomically(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    derived = {"sha256": hash_file(out), "made_from": {source.name: hash_file(source)}, "made_by": made_by}
    write_atomically(out.with_name(out.name + ".derived.json"), json.dumps({out.name: derived}, indent=2))
    return _count(rows, made_by)


def _check(source: Path, out: Path, bounds: Bounds) -> None:
    if not source.is_file():
        raise UsageError(f"{source}: no such file; JSONL with id, emotion, transcript and rationale was wanted")
    if out.exists() and out.samefile(source):
        raise UsageError(f"--out {out}: is the file that is read; give another, it stays as it is")
    if not 1 <= bounds.min_words <= bounds.max_words:
        raise UsageError(
            f"--min-words {bounds.min_words} --max-words {bounds.max_words}: wanted 1 <= --min-words <= --max-words"
        )
    if not 0 < bounds.similarity <= 1:
        raise UsageError(f"--similarity {bounds.similarity:g}: wanted a share above 0 and up to 1")


def _examine(line: bytes, number: int, examiner: Examiner) -> tuple[dict[str, Any], bool]:
    """The output row of one line, and whether it is fit so far."""
    text = {"text": line.decode("utf-8", errors="backslashreplace").strip()}
    try:
        row = json.loads(line.decode("utf-8"))
    except ValueError as error:  # so is a UnicodeDecodeError
        return _malformed(text, number, f"is not JSON in UTF-8 ({error})"), False
    if not isinstance(row, dict):
        return _malformed(text, number, f"is not a JSON object but {type(row).__name__}"), False
    row.setdefault("rationale_given", row.get("rationale"))
    missing = [name for name in _TEXT_FIELDS if name not in row]
    odd = [name for name in _TEXT_FIELDS if name in row and not _is_text(name, row[name])]
    if missing or odd:
        what = f"has no {missing[0]}" if missing else f"has {odd[0]} that is no text"
        return _malformed(row, number, what), False
    given = row["rationale_given"] if isinstance(row["rationale_given"], str) else row["rationale"]
    if not given or row.get("status", "ok") != "ok":
        found = Examined(text=given or "", reasons=("no_rationale",))
    else:
        cut = row.get("stop") == "length"
        found = examiner.examine(given, emotion=row["emotion"] or "", transcript=row["transcript"] or "", cut=cut)
    return _judged(row, found, given), not found.reasons


def _is_text(name: str, value: object) -> bool:
    """Whether a column holds what it should: an id may be a whole number, and anything else may be absent."""
    if name == "id":
        return isinstance(value, (str, int)) and not isinstance(value, bool)
    return value is None or isinstance(value, str)


def _judged(row: dict[str, Any], found: Examined, given: str | None) -> dict[str, Any]:
    for name in ("rationale_given", "removed", "details", "duplicate_of"):
        row.pop(name, None)
    row |= {"rationale": found.text, "kept": not found.reasons, "reasons": list(found.reasons)}
    if found.details:
        row["details"] = list(found.details)
    if found.removed:
        row["removed"] = [asdict(removed) for removed in found.removed]
    if given is not None and given != found.text:
        row["rationale_given"] = given
    return row


def _malformed(row: dict[str, Any], number: int, what: str) -> dict[str, Any]:
    row.pop("rationale_given", None)
    return {**row, "kept": False, "reasons": ["malformed"], "details": [f"line {number}: {what}"]}


def _reject_duplicates(rows: list[dict[str, Any]], texts: Mapping[int, tuple[str, str]], similarity: float) -> None:
    """Rejects fit rows that say nearly what another one says. Only fit ones compete, so that one of them stays."""
    positions = list(texts)
    for loser, winner in near_duplicates(list(texts.values()), similarity).items():
        reason: Reason = "near_duplicate"
        rows[positions[loser]] |= {
            "kept": False,
            "reasons": [reason],
            "duplicate_of": rows[positions[winner]]["id"],
        }


def _count(rows: list[dict[str, Any]], made_by: Mapping[str, Any]) -> Curation:
    reasons = Counter(reason for row in rows for reason in row["reasons"])
    removed = Counter(code for row in rows for code in {removed["code"] for removed in row.get("removed", ())})
    emotions: dict[str, tuple[int, int]] = {}
    for row in rows:
        name = row.get("emotion") if isinstance(row.get("emotion"), str) else "(none)"
        kept, n = emotions.get(str(name), (0, 0))
        emotions[str(name)] = (kept + row["kept"], n + 1)
    return Curation(
        rows=rows,
        reasons={reason: reasons[reason] for reason in REASONS if reasons[reason]},
        removed={reason: removed[reason] for reason in REASONS if removed[reason]},
        emotions=dict(sorted(emotions.items())),
        made_by=made_by,
    )
