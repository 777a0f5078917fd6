"""The words for how something is said: what counts as acoustic evidence, by family.

A term is either telling by itself (breathy, whispers, monotone) or a property that needs a value near it (pitch: high,
varied, rising). A property without a value ("the pitch supports this") describes no sound and is no evidence.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from serxbench.rationales.lexicon import patterns
from serxbench.rationales.prose import Prose, Sentence

#: The families, in the order in which they are reported.
FAMILIES = ("pitch", "loudness", "rate", "pauses", "voice quality", "intonation", "articulation", "vocal events")

#: The families whose properties need a value.
_MEASURED = ("pitch", "loudness", "rate", "voice quality", "intonation", "articulation")

#: What may stand between a property and its value: four words and no full stop.
_GAP = r"(?:[\s,/-]+[\w']+){0,4}?[\s,/-]+"

#: A sentence that denies the evidence rather than giving it.
_UNHEARD = re.compile(
    r"\b(?:cannot|can't|can not|could not|couldn't|unable to|not able to|impossible to|hard to)"
    r" (?:be )?(?:hear|heard|listen|tell|determin\w*|assess\w*|judge\w*|access\w*|detect\w*|analy\w*)"
    r"|\b(?:no|without|missing|lack of|absence of) (?:\w+ )?(?:audio|acoustic|vocal|prosodic|sound)"
    r" (?:information|evidence|cues?|features?|details?|data|properties)"
    r"|\b(?:not|isn't|aren't) (?:\w+ )?(?:available|provided|given|described|specified|known|mentioned|discernible)"
)
_CLAUSE = re.compile(r"[;:]|,(?= (?:and|but|while|which|whereas|so)\b)|\bwhile\b|\bwhereas\b|\bbut\b")


class Term(NamedTuple):
    """An acoustic description: its family, and the words that give it."""

    family: str
    words: str


def acoustic_terms(prose: Prose) -> list[Term]:
    """The acoustic descriptions in a rationale, outside quoted speech, in order of family within each sentence.

    >>> from serxbench.rationales.prose import read_prose
    >>> [tuple(term) for term in acoustic_terms(read_prose("He whispers, and the pitch falls.", ""))]
    [('pitch', 'pitch falls'), ('loudness', 'whispers')]
    >>> acoustic_terms(read_prose("The tone and the pitch support this.", ""))
    []
    """
    found: list[Term] = []
    for sentence in prose.sentences:
        if not _UNHEARD.search(sentence.lower):
            found += _terms_in(sentence)
    return found


def _terms_in(sentence: Sentence) -> list[Term]:
    found = []
    clauses = [clause for clause in _CLAUSE.split(sentence.lower) if clause.strip()]
    for family, pattern in _COMPILED.items():
        taken: dict[str, None] = {}
        for clause in clauses:
            for match in pattern.finditer(clause):
                taken[" ".join(match[0].split())] = None
        found += [Term(family, words) for words in taken]
    return found


def _pattern(family: str) -> re.Pattern[str]:
    """What tells by itself, or a property and its value with a few words between them, either way round."""
    parts = [patterns(f"telling {family}")]
    if family in _MEASURED:
        name, value = (rf"(?:{patterns(f'{kind} {family}')})" for kind in ("property", "value"))
        parts += [rf"{name}{_GAP}{value}", rf"{value}{_GAP}{name}"]
    return re.compile(rf"\b(?:{'|'.join(parts)})\b")


_COMPILED = {family: _pattern(family) for family in FAMILIES}
