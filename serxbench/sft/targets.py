"""The answer that a model is taught, and the rationales that it is made with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from serxbench.emotions import EMOTIONS
from serxbench.errors import CorpusError, UnknownName

Variant = Literal["with-reason", "without-reason"]

VARIANTS: tuple[Variant, ...] = get_args(Variant)

_TAGS = ("<asr>", "</asr>", "<answer>", "</answer>", "<reason>", "</reason>", "<|")


@dataclass(frozen=True, kw_only=True)
class Rationale:
    """What a teacher said of one utterance, and whether curation kept it. teacher: its card, if the row says so."""

    id: str
    emotion: str
    transcript: str
    text: str
    kept: bool
    teacher: str | None = None


def as_variant(name: str) -> Variant:
    """`name` as a Variant. Raises UnknownName."""
    if name not in VARIANTS:
        raise UnknownName("variant", name, VARIANTS)
    return name


def target_text(transcript: str, emotion: str, rationale: str | None) -> str:
    """The answer of arXiv 2509.24187, Eq. 1; without its last part if there is no rationale.

    >>> target_text("It is late.", "Sad", "The voice is slow and low.")
    '<asr> It is late. </asr><answer> I think the emotion is sad </answer><reason> The voice is slow and low. </reason>'
    >>> target_text("It is late.", "Sad", None)
    '<asr> It is late. </asr><answer> I think the emotion is sad </answer>'
    """
    answer = f"<asr> {transcript} </asr><answer> I think the emotion is {emotion.lower()} </answer>"
    return answer if rationale is None else f"{answer}<reason> {rationale} </reason>"


def is_taggable(text: str) -> bool:
    """Whether a text can stand between the answer's tags: it is not blank and holds none of them, nor a chat token."""
    return bool(text.strip()) and not any(tag in text for tag in _TAGS)


def read_rationales(path: Path) -> dict[str, Rationale]:
    """Id → rationale, of a file by `serxbench rationales` or `serxbench curate`.

    Rows that curation has not seen (no `kept`) count as kept. Raises CorpusError naming the line.
    """
    found: dict[str, Rationale] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: cannot be read as rationales ({error})") from error
    for number, line in enumerate(lines, start=1):
        try:
            row = _check(json.loads(line))
        except (ValueError, TypeError) as error:
            raise CorpusError(f"{path}:{number}: is no rationale row ({error})") from error
        if row.id in found:
            raise CorpusError(
                f"{path}:{number}: the id '{row.id}' stands twice; of several samples an item, `serxbench curate` "
                "keeps one"
            )
        found[row.id] = row
    return found


def _check(row: Mapping[str, Any]) -> Rationale:
    if not isinstance(row, dict):
        raise TypeError(f"found {type(row).__name__}, wanted an object")
    for name in ("id", "emotion", "transcript", "rationale"):
        if name not in row:
            raise ValueError(f"'{name}' is missing")
    kept = row.get("kept", True)
    if not isinstance(kept, bool):
        raise TypeError(f"'kept' must be true or false; found {kept!r}")
    # A rejected row may have no rationale left.
    texts = ("id", "emotion", "transcript", "rationale") if kept else ("id", "emotion", "transcript")
    for name in texts:
        if not isinstance(row[name], str):
            raise TypeError(f"'{name}' must be text; found {row[name]!r}")
    emotion = row["emotion"].capitalize()
    if emotion not in EMOTIONS:
        raise ValueError(f"the emotion '{row['emotion']}' is none of {', '.join(EMOTIONS)}")
    if not isinstance(teacher := row.get("teacher"), str | None):
        raise TypeError(f"'teacher' must be text; found {teacher!r}")
    return Rationale(
        id=row["id"],
        emotion=emotion,
        transcript=row["transcript"],
        text=row["rationale"] or "",
        kept=kept,
        teacher=teacher,
    )
