"""Answers that weigh several emotions: shares and scores ("70 % anger, 30 % sadness"), ticks, yes and no."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_NUMBER = r"(?:\d{1,3}(?:[.,]\d+)?|[.,]\d+)"
_SHARE = r"\s*(?:%|％|per ?cent\b)"
_YES = r"(?:yes|present|true|likely|ja|oui|s[íì]|sim|да|是|有|はい|예|네)"
_NO = r"(?:no|none|absent|false|not present|unlikely|nein|non|não|нет|否|无|無|いいえ|아니요)"
_WORD_END = r"(?=\s*(?:$|[.,;:!|()\[\]\n]))"
_SPACE = r"[ \t*_`|\"']*"
# A whole number needs a sign before it or a per cent after it: what follows the second of "1) sad 2) angry" is none.
_AFTER = re.compile(
    rf"{_SPACE}(?:(?P<sign>[:=：|→(（?~≈-]|->|–|—|\b(?:at|is)\b){_SPACE})?"
    rf"(?:(?P<number>{_NUMBER})(?:{_SHARE}|\s*/\s*\d{{1,3}}\b|(?(sign)|(?:(?<=[.,]\d)|(?<=[.,]\d\d)))(?![\w./]))"
    rf"|(?P<yes>{_YES}{_WORD_END}|[✓✔✅☑])|(?P<no>{_NO}{_WORD_END}|[✗✘❌☐]))",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    rf"(?:(?P<number>{_NUMBER}){_SHARE}(?:\s+(?:of|for|an?|chance of|likely))?\s+"
    r"|(?P<yes>\[[xX✓✔]\]|[✓✔✅☑☒])|(?P<no>\[\s?\]|[✗✘❌☐□]))[\s*_`]*$"
)
_SIGNED = re.compile(r"[%％✓✔✅☑☒✗✘❌☐□\[]|per ?cent")
#: What may stand between two weighed emotions: signs, a list's letter or number, "and a", "while".
_BETWEEN = re.compile(
    r"(?:[^\w]|\b\d{1,2}\b(?=[.)])|\b(?:[a-i]|and|an|the|of|with|about|around|some|while|but|or)\b)*", re.I
)
_WINDOW = 40


class Item(NamedTuple):
    """Something that an answer may weigh: where it stands, and its class."""

    start: int
    end: int
    label: str


class _Weighed(NamedTuple):
    number: int
    start: int
    end: int
    weight: float


def weighings(text: str, items: Sequence[Item]) -> Iterator[tuple[list[int], int]]:
    """The weighings in `text`: which items take part, and which of them has most.

    A weighing gives a number, a tick, or yes or no to each of two or more neighbours. One in which no class has more
    than the others decides nothing and is left out.

    >>> list(weighings("30% happy, 70% surprised", [Item(4, 9, "Happy"), Item(15, 24, "Surprise")]))
    [([0, 1], 1)]
    """
    runs = [*_runs(text, _weighed_after(text, items)), *_runs(text, _weighed_before(text, items))]
    used: set[int] = set()
    # "☐ sad ☑ angry ☐ glad": what stands on the wrong side makes the shorter run.
    for run in sorted(runs, key=len, reverse=True):
        indices = [each.number for each in run]
        best = max(each.weight for each in run)
        first = [each.number for each in run if each.weight == best]
        decided = best > 0 and len({items[index].label for index in first}) == 1
        if decided and len(indices) > 1 and not used & set(indices):
            used.update(indices)
            yield indices, first[0]


def _weighed_after(text: str, items: Sequence[Item]) -> Iterator[_Weighed]:
    for index, item in enumerate(items):
        match = _AFTER.match(text, item.end)
        if match:
            yield _Weighed(index, item.start, match.end(), _weight(match))


def _weighed_before(text: str, items: Sequence[Item]) -> Iterator[_Weighed]:
    if not _SIGNED.search(text):
        return
    for index, item in enumerate(items):
        match = _BEFORE.search(text, max(0, item.start - _WINDOW), item.start)
        if match:
            yield _Weighed(index, match.start(), item.end, _weight(match))


def _runs(text: str, weighed: Iterator[_Weighed]) -> Iterator[list[_Weighed]]:
    run: list[_Weighed] = []
    for each in weighed:
        if run and not (each.number == run[-1].number + 1 and _BETWEEN.fullmatch(text, run[-1].end, each.start)):
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _weight(match: re.Match[str]) -> float:
    if match["number"]:
        return float(match["number"].replace(",", "."))
    return 1.0 if match["yes"] else 0.0
