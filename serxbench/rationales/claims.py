"""What a rationale claims about the sound that can be measured: pitch, loudness, rate and pauses, and how they change.

A claim is a property with a direction, found as a value beside its property ("a high pitch", "the pace is slow and
steady"), or as a word that says both ("whispers", "monotone"). A value belongs to the noun that it stands before, with
nothing but other values, adverbs and "and" between them; else to the noun that it is said of.
A negated claim ("not loud") is found and marked; nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from serxbench.parsing.guards import is_negated
from serxbench.parsing.vocabulary import Token, word_set
from serxbench.rationales.lexicon import compiled, has_list
from serxbench.rationales.prose import Prose, Sentence

Property = Literal["pitch", "pitch_range", "pitch_end", "loudness", "loudness_change", "rate", "rate_change", "pauses"]
Direction = Literal["high", "middle", "low"]

#: In the order in which they are reported.
PROPERTIES: tuple[Property, ...] = (
    "pitch", "pitch_range", "pitch_end", "loudness", "loudness_change", "rate", "rate_change", "pauses",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim. direction: of `pitch_end` and the changes, `high` means that it rises. words: as they stand."""

    property: Property
    direction: Direction
    words: str
    negated: bool = False


def _table(text: str) -> dict[str, Direction]:
    """Word → direction, from lines of a direction and its words."""
    rows = (line.split(":") for line in text.strip().splitlines())
    directions: dict[str, Direction] = {"high": "high", "middle": "middle", "low": "low"}
    return {word: directions[name.strip()] for name, words in rows for word in words.split()}


_LEVEL = """
high: high higher highest elevated raised heightened
middle: moderate medium middle mid average normal
low: low lower lowered lowest reduced
"""
_RANGE = _table(
    """
    high: wide wider varied variable varying dynamic lively broad exaggerated fluctuating melodic
    low: flat narrow level monotone monotonous unvarying constant unchanging limited restricted
    """
)
_PITCH = {"pitch": _table(_LEVEL) | _table("low: deep deeper"), "pitch_range": _RANGE}
_LOUD = _table(
    """
    high: loud louder strong powerful booming raised forceful
    middle: moderate
    low: soft softer quiet quieter hushed faint muted subdued gentle
    """
)
_PACE = _table(
    """
    high: fast faster rapid quick quicker hurried rushed brisk swift high
    middle: moderate steady medium even normal average
    low: slow slower unhurried leisurely sluggish dragging low
    """
)
_PAUSES = _table(
    """
    high: long longer frequent many several noticeable extended lengthy
    low: few short brief rare minimal
    """
)
_CONTOUR = {"pitch_range": _RANGE, "pitch_end": _table("high: rising upward\nlow: falling downward")}
_END = {"pitch_end": _table("high: rising steep upward\nlow: falling dropping downward")}
#: Nouns → property → the values that it takes.
_TAKES: Mapping[str, Mapping[str, Mapping[str, Direction]]] = {
    "pitch f0 register": _PITCH,
    "intonation inflection melody contour prosody": _CONTOUR,
    "volume loudness": {"loudness": _LOUD | _table(_LEVEL)},
    "voice tone": {
        "loudness": _LOUD,
        "pitch": _table("high: high\nlow: deep"),
        "rate": _table("high: fast rapid quick hurried\nlow: slow unhurried"),
    },
    "pace tempo rate speed speech delivery speaking": {"rate": _PACE},
    "pause pauses silence silences": {"pauses": _PAUSES},
    "end ending rise glide": _END,
}
_NOUNS = {noun: takes for nouns, takes in _TAKES.items() for noun in nouns.split()}
_VALUES = frozenset(word for properties in _NOUNS.values() for values in properties.values() for word in values)

_DIRECTIONS: tuple[Direction, ...] = ("high", "middle", "low")
#: What says property and direction at once.
_PHRASES = tuple(
    (property, direction, compiled(f"claim {property} {direction}"))
    for property in PROPERTIES
    for direction in _DIRECTIONS
    if has_list(f"claim {property} {direction}")
)

_ADVERBS = word_set(
    """
    very rather quite fairly slightly somewhat relatively particularly noticeably more much a bit little too so also
    almost both and or but yet overall generally mostly
    """
)
_OF_AFTER = word_set("is are was were remains remain stays stay sounds sound seems seem appears appear")
#: How far a value is looked for from its noun, in words.
_REACH = 7


def find_claims(prose: Prose) -> list[Claim]:
    """The claims of a rationale in order, each property and direction once.

    >>> from serxbench.rationales.prose import read_prose
    >>> text = "The voice is soft and the pace not slow, with a high pitch that hardly moves."
    >>> [(c.property, c.direction, c.negated) for c in find_claims(read_prose(text, ""))]
    [('pitch_range', 'low', False), ('loudness', 'low', False), ('rate', 'low', True), ('pitch', 'high', False)]
    """
    found: dict[tuple[Property, Direction], Claim] = {}
    for sentence in prose.sentences:
        for claim in (*_phrases(sentence), *_pairs(sentence)):
            known = found.get((claim.property, claim.direction))
            if known is None or (known.negated and not claim.negated):
                found[claim.property, claim.direction] = claim
    return list(found.values())


def _phrases(sentence: Sentence) -> Iterator[Claim]:
    for property, direction, pattern in _PHRASES:
        for match in pattern.finditer(sentence.lower):
            before, after = sentence.lower[: match.start()], sentence.lower[match.end() :]
            yield Claim(property=property, direction=direction, words=match[0], negated=is_negated(before, after))


def _pairs(sentence: Sentence) -> Iterator[Claim]:
    tokens = sentence.tokens
    for index, token in enumerate(tokens):
        if token.text not in _VALUES:
            continue
        noun = _noun_after(sentence, tokens, index) or _noun_before(sentence, tokens, index)
        if noun is None:
            continue
        for property, values in _NOUNS[noun.text].items():
            if token.text in values:
                before, after = sentence.lower[: token.start], sentence.lower[token.end :]
                yield Claim(
                    property=_property(property),
                    direction=values[token.text],
                    words=" ".join(sentence.lower[min(token.start, noun.start) : max(token.end, noun.end)].split()),
                    negated=is_negated(before, after),
                )


def _property(name: str) -> Property:
    return next(property for property in PROPERTIES if property == name)


def _noun_after(sentence: Sentence, tokens: list[Token], index: int) -> Token | None:
    """The noun that the value stands before: "a soft, very low voice"."""
    for here, token in zip(tokens[index:], tokens[index + 1 : index + _REACH], strict=False):
        if sentence.lower[here.end : token.start].strip(" ,-"):
            return None
        if token.text in _NOUNS:
            # "The pace slow, speech clear": a comma before a noun without another value ends the reach.
            compound = {"speaking", "speech"} & {token.text}
            following = tokens[tokens.index(token) + 1 : tokens.index(token) + 2]
            if compound and following and following[0].text in _NOUNS:
                continue
            return token if "," not in sentence.lower[here.end : token.start] else None
        if token.text not in _VALUES and token.text not in _ADVERBS and not token.text.endswith("ly"):
            return None
    return None


def _noun_before(sentence: Sentence, tokens: list[Token], index: int) -> Token | None:
    """The noun that the value is said of: "the pace is slow and steady", "the voice moderate"."""
    for place in range(index - 1, max(-1, index - 1 - _REACH), -1):
        token, following = tokens[place], tokens[place + 1]
        gap = sentence.lower[token.end : following.start].strip(" -")
        if gap and (gap != "," or token.text not in _VALUES):
            return None
        if token.text in _NOUNS:
            return token
        passable = token.text in _VALUES or token.text in _ADVERBS or token.text in _OF_AFTER or token.text == "not"
        if not (passable or token.text.endswith("ly")):
            return None
    return None
