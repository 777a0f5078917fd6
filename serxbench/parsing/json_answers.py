"""Answers given as JSON, alone, fenced or inside prose, and as what models write when they mean JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from serxbench.parsing.vocabulary import word_set

_KEYS = word_set(
    """emotion emotions answer finalanswer label emotionlabel prediction predictedemotion predictedlabel class category
    choice option result primaryemotion dominantemotion mainemotion emotionalstate emotioncategory finalemotion
    detectedemotion selectedoption finallabel speakeremotion"""
)
_LENIENT = re.compile(r"""["']([\w ]{3,24})["']\s*:\s*(?:"([^"\n]*)"|'([^'\n]*)'|([A-Za-z][\w -]*))""")
_FENCE = re.compile(r"```(?:\w+)?")
_MAX_OBJECTS = 50


def json_answer(text: str, is_emotion: Callable[[str], bool]) -> str | None:
    """The value that the last answer-like key of the JSON in `text` has; "" if that is null; None without such a key.

    An object that gives every emotion a number answers with its largest.

    >>> json_answer('```json\\n{"emotion": "sad", "confidence": 0.9}\\n```', lambda word: True)
    'sad'
    >>> json_answer('{"angry": 0.2, "sad": 0.7}', lambda word: True)
    'sad'
    """
    if "{" not in text:
        return None
    values = [value for found in _objects(text) for value in _answers_in(found, is_emotion)]
    if not values:
        loose = [(m[1], m[2] or m[3] or m[4] or "") for m in _LENIENT.finditer(text)]
        values = [value for key, value in loose if _is_answer_key(key)]
    return values[-1] if values else None


def without_json(text: str) -> str:
    """`text` without its JSON objects and code fences."""
    for start, end in [(start, end) for start, end, _ in _spans(text)][::-1]:
        text = text[:start] + " " + text[end:]
    return _FENCE.sub(" ", text)


def _spans(text: str) -> Iterator[tuple[int, int, Any]]:
    decoder, position = json.JSONDecoder(), 0
    for _ in range(_MAX_OBJECTS):
        start = text.find("{", position)
        if start < 0:
            return
        try:
            found, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            position = start + 1
        else:
            yield start, position, found


def _objects(text: str) -> Iterator[Any]:
    return (found for _, _, found in _spans(text))


def _answers_in(value: Any, is_emotion: Callable[[str], bool]) -> Iterator[str]:
    if isinstance(value, list):
        scored = _highest_entry(value, is_emotion)
        if scored is not None:
            yield scored
            return
        for item in value:
            yield from _answers_in(item, is_emotion)
    if not isinstance(value, dict):
        return
    scored = _highest_score(value, is_emotion)
    if scored is not None:
        yield scored
        return
    for key, item in value.items():
        if _is_answer_key(key) and not isinstance(item, dict) and _highest_entry(item, is_emotion) is None:
            yield _as_text(item)
        else:
            yield from _answers_in(item, is_emotion)


def _is_answer_key(key: str) -> bool:
    return re.sub(r"[^a-z]", "", key.lower()) in _KEYS


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return next((_as_text(item) for item in value), "")
    return value.strip() if isinstance(value, str) else ""


def _highest_entry(value: Any, is_emotion: Callable[[str], bool]) -> str | None:
    """The answer of a list like [{"label": "sad", "score": 0.8}, …]; None for any other value."""
    if not isinstance(value, list) or not value or not all(isinstance(entry, dict) for entry in value):
        return None
    scores: dict[str, float] = {}
    for entry in value:
        names = [v for v in entry.values() if isinstance(v, str) and is_emotion(v)]
        numbers = [v for v in entry.values() if isinstance(v, int | float) and not isinstance(v, bool)]
        if len(names) != 1 or len(numbers) != 1:
            return None
        scores[names[0]] = float(numbers[0])
    return _single_best(scores)


def _highest_score(value: dict[str, Any], is_emotion: Callable[[str], bool]) -> str | None:
    if len(value) < 2 or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value.values()):
        return None
    if not all(map(is_emotion, value)):
        return None
    return _single_best(value)


def _single_best(scores: dict[str, Any]) -> str:
    """The name with the highest score, "" for a draw."""
    best = max(scores.values())
    winners = [name for name, score in scores.items() if score == best]
    return winners[0] if len(winners) == 1 else ""
