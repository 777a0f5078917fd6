"""Preparing prose: what is quoted is taken out, and the text is cut into sentences. Offsets never move."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from serxbench.parsing.vocabulary import lowered

#: What a masked character becomes: neither a word nor a sentence end, but no negation reaches across it.
MASK = "\x00"

_MARKUP = str.maketrans(dict.fromkeys("*_`#~", " ") | {"’": "'"})
# The look ahead spares the engine nine alternatives at every letter.
_QUOTES = re.compile(
    r"(?=[\"“«„「『‘'])(?:"
    r'"[^"\n]{1,600}"|“[^”\n]{1,600}”|«[^»\n]{1,600}»|„[^“”\n]{1,600}[“”]|「[^」\n]{1,600}」|『[^』\n]{1,600}』'
    r"|‘[^\n]{1,600}?’(?!\w)|(?:(?<=[\s(\[:,])|(?<=^))'(?=\S)[^\n]{1,600}?(?<=\S)'(?!\w))"
)
_QUOTE_MARK = re.compile(r"[\"“«„「『‘]|(?<!\w)'")
_WHOLLY_QUOTED = re.compile(r"""\s*(?:"([^"]*)"|'([^'\n]*)'|“([^”]*)”|「([^」]*)」|«([^»]*)»)\s*[.。]?\s*""")
_ANSWER_BEFORE_QUOTE = re.compile(
    r"(?:answer|emotion|label|response|output|classification|prediction|category|choice|option)"
    r"(?: would be| is|:| as|=)?:?\s*$"
)
_SPOKEN_BEFORE_QUOTE = re.compile(
    r"(?:words?|phrases?|terms?|sentences?|lines?|exclamations?|expressions?|says?|said|saying|stat(?:es?|ed|ing)"
    r"|utters?|uttered|repeats?|like|interjections?|use of|with)(?: the| like| of| is)?:?\s*$"
)
_SENTENCE_END = re.compile(r"[.!?](?=[\s)\x00\"'”]|$)|[。！？｡]|\n+")
_LONGEST_SENTENCE = 800
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|mr|mrs|ms|dr|approx|z\.b|p\.ex)\.$")


@dataclass(frozen=True, kw_only=True)
class Passage:
    """Prose made ready for searching; `lower` has exactly as many characters as `text`.

    bounds: the offsets where sentences begin, and the length of the text.
    """

    text: str
    lower: str
    bounds: tuple[int, ...]

    def sentence_at(self, offset: int) -> int:
        """Number of the sentence that holds this offset, counted from 0."""
        return bisect_right(self.bounds, offset, hi=len(self.bounds) - 1) - 1

    def sentence(self, number: int) -> tuple[int, int]:
        """Start and end of a sentence, its full stop included."""
        return self.bounds[number], self.bounds[number + 1]


def passage_of(text: str, is_emotion: Callable[[str], bool]) -> Passage:
    """The passage of an answer. Quoted speech is masked; a quoted single emotion word is kept: `the emotion is "sad"`.

    >>> passage_of('Sad: "I am happy!"', lambda quoted: False).lower.rstrip(MASK)
    'sad: '
    """
    plain = text.translate(_MARKUP)
    whole = _WHOLLY_QUOTED.fullmatch(plain)
    lower = lowered(plain)
    if whole:
        start, end = whole.span(whole.lastindex or 0)
        lower = " " * start + lower[start:end] + " " * (len(lower) - end)
    else:
        lower = _QUOTES.sub(lambda match: _quote(match, is_emotion), lower) if _QUOTE_MARK.search(lower) else lower
    return Passage(text=text, lower=lower, bounds=_bounds(lower))


def _quote(match: re.Match[str], is_emotion: Callable[[str], bool]) -> str:
    quoted, before = match[0], match.string[max(0, match.start() - 40) : match.start()]
    spoken = _SPOKEN_BEFORE_QUOTE.search(before)
    if (is_emotion(quoted[1:-1]) and not spoken) or _ANSWER_BEFORE_QUOTE.search(before):
        return f" {quoted[1:-1]} "
    return MASK * len(quoted)


def _bounds(lower: str) -> tuple[int, ...]:
    bounds = [0]
    for match in _SENTENCE_END.finditer(lower):
        following = match.end()
        if match[0] == "." and (
            _ABBREVIATION.search(lower, max(0, following - 8), following) or _list_number(lower, match.start())
        ):
            continue
        if lower[bounds[-1] : following].strip():
            bounds.append(following)
    if bounds[-1] < len(lower) or len(bounds) == 1:
        bounds.append(len(lower))
    return tuple(_shortened(lower, bounds))


def _shortened(lower: str, bounds: list[int]) -> Iterator[int]:
    """The bounds, with overlong sentences cut at a space: a model caught in a loop writes one of 10,000 characters."""
    yield 0
    for start, end in pairwise(bounds):
        while end - start > _LONGEST_SENTENCE:
            space = lower.rfind(" ", start + _LONGEST_SENTENCE // 2, start + _LONGEST_SENTENCE)
            start = space if space > 0 else start + _LONGEST_SENTENCE
            yield start
        yield end


def _list_number(lower: str, stop: int) -> bool:
    """True for the full stop of "1." or "b." at the beginning of a line."""
    line = lower[lower.rfind("\n", 0, stop) + 1 : stop].strip()
    return len(line) <= 2 and line.isalnum() and (line.isdigit() or len(line) == 1)
