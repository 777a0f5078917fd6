"""Finding emotion words in running text: whole words and phrases of the word table, in any of its languages."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

from serxbench.clustering.table import WordTable, normalized


def word_set(text: str) -> frozenset[str]:
    """The words of a text that lists them."""
    return frozenset(text.split())


#: Words that name an emotion only where the sentence is about one ("sounds calm"), not anywhere ("a cold day").
ORDINARY = word_set(
    """
    abandoned abandonment acceptance animated approval appreciation attentive attentiveness aversion bland blank blue
    bold bothered brave boring calming caring casual casually cautious celebration cheer cold collected comfort
    comfortable commanding composed concentrated concern concerns confused confusing content conversational courage
    cries cross crushed cry crying cut dazed defeat defeated depressing desire detached detachment determination
    determined devastating disappointing distant distracted disturbed disturbing doubt down dramatic eager edgy
    encouragement encouraging engaged enjoy enjoying enjoyable enjoys entertained exciting expressionless factual fears
    firm fascinating flat flatly floored focused formal fraught friendly frustrating fulfilled fun funny gay gai giggle
    giggles hate hates heated hesitant hesitation hope hopefully hurt hurting impressed informational informative
    insistent inspiration inspiring insulting interest interested intrigue inviting irate joke joking lively longing
    lost love loved loving low mad measured mischief moved normal normally objective objectively offense offence
    offended ordinary pain pained painful passion patience plain pleading please pleasant pleasure polite politely
    professional provoked rage raging reassurance reassuring reflective regular regret regrets relaxing relief repelled
    reserved resigned resolve respect restrained rule satisfying scold scolding scary seriously serious shock shocking
    sick sincere smile smiles smiling snappy sober soothing spirited steady straightforward stress stressful stun
    suffering sunny superiority support supportive surprises surprising surprisingly suspenseful tease temper tender
    tense tension threatened thrill thrilling tired touch touched touching tragic troubled trust unaffected unsettled
    upset upsetting urgent urgency vulnerable warm warmth wide eyed wonder worry worries worrying wow yearning
    isolated anticipation anticipating amazing amusing annoying alarming caution engrossed laughing laughs laugh
    laughter chuckle chuckles chuckling humor humour isolated moved realization regard resolve reserved tormented ira
    ernst sauer serio seria stolz otro otra altro outro outra autre andere andre bravo brava pena ravi fier gioco
    animato
    ruhig calme sorge glück grave choc lust anxious_to regular peaceful patient shy wary averse awkward objective
    rejected rejection neglected unwanted appalling repellent dreadful pitiful cowed pompous judgmental judgemental
    mellow modest humble tantrum deflated desolate desolation suspense forgiving devoted devotion dignified pragmatic
    subdued robotic journalistic zealous mindful inspirational vengeance restless downtrodden abrasive vehement
    tetchy demeaning derogatory engrossed fervent charmed obsessed
    plaintive festive radiant romantic reminiscent radiant marvel speechless stunned defensive apologetic mortified
    entertainment confusion_about lively energetic warmly friendly dry wry sensitive gentle
    """
)

# Latin with its extensions, Vietnamese among them, Cyrillic and Arabic: scripts whose words stand apart.
_WORD = re.compile(r"[a-zà-öø-ÿ\u0100-\u017fơư\u1ea0-\u1eff\u0430-\u045f\u0620-\u064a]+(?:['’][a-z]+)?")
# Scripts without spaces, and Devanagari, whose vowel signs are no letters to the re module.
_NARROW = re.compile(r"[\u0900-\u097f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


class Token(NamedTuple):
    """One word of the text in lower case, with its character offsets."""

    start: int
    end: int
    text: str


class Mention(NamedTuple):
    """An emotion word in the text: character offsets, and the indices of its first and last token.

    first, last: equal to the index of the next token, and that minus one, for scripts that are not split into words.
    """

    start: int
    end: int
    first: int
    last: int
    word: str
    label: str
    ordinary: bool


def lowered(text: str) -> str:
    """`text` in lower case with every character at its old offset, which str.lower does not promise."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


def tokens_of(lower: str) -> list[Token]:
    """The Latin-script words of a lower-cased text; an apostrophe suffix stays with its word.

    >>> [token.text for token in tokens_of("isn't matter-of-fact")]
    ["isn't", 'matter', 'of', 'fact']
    """
    # Past Token's own __new__, which takes longer than the rest: long answers are mostly words that no rule looks at.
    make, kind = tuple.__new__, Token
    return [make(kind, (m.start(), m.end(), m[0])) for m in _WORD.finditer(lower)]


class Vocabulary:
    """The words of a table, arranged for searching. `labels`: the class of every searchable word."""

    def __init__(self, table: WordTable) -> None:
        self.table = table
        self.labels: Mapping[str, str] = {word: table.labels[word] for word in table.words()}
        words = [word for word in self.labels if not _NARROW.search(word)]
        narrow = sorted((word for word in self.labels if _NARROW.search(word)), key=len, reverse=True)
        self._narrow = re.compile("|".join(map(re.escape, narrow)) or r"(?!)")
        self._phrases = _by_first_words(word for word in words if " " in word)
        self._starts = frozenset(word.split()[0] for word in words)

    def mentions(self, lower: str, tokens: list[Token]) -> list[Mention]:
        """Every emotion word in the text in order, the longest phrase where several start at one word."""
        found: list[Mention] = []
        starts, index, n_tokens = self._starts, 0, len(tokens)
        while index < n_tokens:
            text = tokens[index].text
            if text in starts or "'" in text or not text.isascii():
                mention = self._mention_at(lower, tokens, index)
                if mention:
                    found.append(mention)
                    index = mention.last
            index += 1
        if not lower.isascii() and _NARROW.search(lower):
            found.extend(self._narrow_mentions(lower, tokens))
            found.sort(key=lambda mention: mention.start)
        return found

    def _mention_at(self, lower: str, tokens: list[Token], index: int) -> Mention | None:
        key = _key(tokens[index].text)
        following = _key(tokens[index + 1].text) if index + 1 < len(tokens) else ""
        for phrase in self._phrases.get((key, following), ()):
            last = index + len(phrase) - 1
            stretch = tokens[index : last + 1]
            if tuple(_key(token.text) for token in stretch) == phrase and _unbroken(lower, stretch):
                return self._mention(tokens[index].start, tokens[last].end, index, last, " ".join(phrase))
        if key in self.labels:
            return self._mention(tokens[index].start, tokens[index].start + len(key), index, index, key)
        return None

    def _narrow_mentions(self, lower: str, tokens: list[Token]) -> Iterable[Mention]:
        starts = [token.start for token in tokens]
        for match in self._narrow.finditer(lower):
            following = bisect_left(starts, match.start())
            yield self._mention(match.start(), match.end(), following, following - 1, match[0])

    def _mention(self, start: int, end: int, first: int, last: int, word: str) -> Mention:
        ordinary = word in ORDINARY
        label = self.labels[word]
        return Mention(start=start, end=end, first=first, last=last, word=word, label=label, ordinary=ordinary)


def _by_first_words(phrases: Iterable[str]) -> dict[tuple[str, str], list[tuple[str, ...]]]:
    """First two words → the phrases that begin with them, the longest first."""
    arranged: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for phrase in sorted(phrases, key=len, reverse=True):
        words = tuple(phrase.split())
        arranged.setdefault((words[0], words[1]), []).append(words)
    return arranged


def _key(token: str) -> str:
    key = token if token.isalpha() else token.removesuffix("'s").removesuffix("’s")
    return key if key.isascii() else unicodedata.normalize("NFKC", key).casefold()


def _unbroken(lower: str, stretch: list[Token]) -> bool:
    return all(lower[a.end : b.start] in (" ", "-") for a, b in pairwise(stretch))


def committed_word(table: WordTable, text: str) -> str | None:
    """The emotion word of a text that is nothing but one ("Very sad.", "**Joy**"), else None.

    >>> from serxbench.clustering.table import load_table
    >>> committed_word(load_table(), "**Sadness**."), committed_word(load_table(), "He left.")
    ('sadness', None)
    """
    if len(text) > 60 or table.lookup(text) is None:
        return None
    key = normalized(text) or text.strip()
    for start in range(len(words := key.split())):
        for end in range(len(words), start, -1):
            if (word := " ".join(words[start:end])) in table.labels:
                return word
    return key
