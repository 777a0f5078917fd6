"""Whether a quotation stands in an answer, and whether the answer names an emotion there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from serxbench.clustering.table import WordTable, normalized
from serxbench.parsing.evidence import is_attributed
from serxbench.parsing.guards import is_negated
from serxbench.parsing.options import option_rules
from serxbench.parsing.passages import Passage, passage_of
from serxbench.parsing.vocabulary import Mention, Vocabulary, committed_word, lowered, tokens_of

_WORD = re.compile(r"\w+")
_LONGEST_QUOTATION = 2_000
#: Two inflections of one unlisted word share so many letters at least, and this share of the longer one.
_STEM_LETTERS = 4
_STEM_SHARE = 0.6


class Quotation(NamedTuple):
    """Where a quotation stands: character offsets in the answer."""

    start: int
    end: int


def find_quotation(body: str, quotation: str) -> Quotation | None:
    """Where `quotation` stands in `body`, whatever the case, the spaces, the punctuation and the markup; else None.

    >>> find_quotation('It is **"Sad"**, I think.', "it is sad")
    Quotation(start=0, end=12)
    """
    exact = quotation.strip()[:_LONGEST_QUOTATION]
    if not exact:
        return None
    place = body.find(exact)
    if place >= 0:
        return Quotation(place, place + len(exact))
    words = _WORD.findall(lowered(exact))
    if not words:
        return None
    # An apostrophe may be straight or curly, a line may be broken elsewhere; words may not be left out.
    found = re.search(r"(?<!\w)" + r"[\W_]{1,8}".join(map(re.escape, words)) + r"(?!\w)", lowered(body))
    return Quotation(found.start(), found.end()) if found else None


class Evidence:
    """What counts as naming an emotion: the option offered, the word, its inflection, or another word of its class."""

    def __init__(self, table: WordTable) -> None:
        self._table, self._vocabulary = table, Vocabulary(table)

    def missing(
        self, body: str, quotation: Quotation, word: str, options: Sequence[tuple[str, str]] | None
    ) -> str | None:
        """Why the quotation does not show that the answer commits to `word`; None if it does.

        It has to name the emotion, outside of what it quotes itself, and must not deny it.
        """
        span = body[quotation.start : quotation.end]
        if options and self._names_option(span, word, options):
            return None
        passage = passage_of(body, lambda quoted: committed_word(self._table, quoted) is not None)
        mentions = self._mentions(passage, quotation, word)
        if any(not _is_denied(passage, mention) for mention in mentions):
            return None
        if mentions:
            return f"the quotation denies {word!r}"
        if self._table.lookup(word) is None and _holds_stem(passage.lower[quotation.start : quotation.end], word):
            return None
        if _holds_stem(lowered(span), word) or self._mentions(_plain(body), quotation, word):
            return f"the answer says {word!r} only in words that it quotes"
        return f"the quotation does not name {word!r}; give the word that stands there"

    def _names_option(self, span: str, word: str, options: Sequence[tuple[str, str]]) -> bool:
        """True if the rules, too, read the option of this word in the quotation, or its letter stands there."""
        found = option_rules(tuple(options)).find(span, self._table.lookup)
        if found is not None:
            return found.word is not None and normalized(found.word) == normalized(word)
        letters = [letter for letter, text in options if normalized(text) == normalized(word)]
        # A capital A or I alone is a word of English as well.
        named = [letter for letter in letters if letter not in ("A", "I")]
        return any(re.search(rf"(?<![\w'])[(\[]?{re.escape(letter)}(?![A-Za-z0-9_'])", span) for letter in named)

    def _mentions(self, passage: Passage, quotation: Quotation, word: str) -> list[Mention]:
        """The emotion words inside the quotation that are the word or of its class."""
        tokens = tokens_of(passage.lower)
        mentions = self._vocabulary.mentions(passage.lower, tokens)
        members = {index: mention for mention in mentions for index in range(mention.first, mention.last + 1)}
        label, key = self._table.lookup(word), normalized(word)
        return [
            mention
            for mention in mentions
            if quotation.start <= mention.start < quotation.end
            and (mention.word == key or mention.label == label)
            and (not mention.ordinary or mention.word == key or is_attributed(passage, tokens, mention, members))
        ]


def _plain(body: str) -> Passage:
    return Passage(text=body, lower=lowered(body), bounds=(0, len(body)))


def _is_denied(passage: Passage, mention: Mention) -> bool:
    start, end = passage.sentence(passage.sentence_at(mention.start))
    before, after = passage.lower[start : mention.start], passage.lower[mention.end : end]
    return is_negated(before, after, passage.lower[mention.start : mention.end])


def _holds_stem(text: str, word: str) -> bool:
    """True if the text holds an inflection of every part of the word; in scripts without spaces, the word itself."""
    parts = normalized(word).split()
    if not parts:
        return False
    if not all(part.isascii() for part in parts) and normalized(word) in text:
        return True
    held = _WORD.findall(text)
    return all(any(_same_stem(part, other) for other in held) for part in parts)


def _same_stem(first: str, second: str) -> bool:
    if first == second:
        return True
    shared = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        shared += 1
    return shared >= _STEM_LETTERS and shared >= _STEM_SHARE * max(len(first), len(second))
