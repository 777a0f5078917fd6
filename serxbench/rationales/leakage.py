"""Does a rationale give its label away? Names of the class, their forms and synonyms of the word table.

Three tiers, because half of the words that name an emotion also describe a voice:

    always      a word for the emotion and nothing else (furious, grief): counts wherever it stands but in quoted speech
    of people   an ordinary word (calm, tense, lively): counts where it is said of the speaker or of a feeling, not
                where it is said of the voice, the pitch or the pace
    of sound    a word for sound or wording first (flat, steady, low, laughter): counts only beside a word for a feeling

The name of the class and its forms count everywhere, negated too. A negated synonym does not: "not cheerful at all"
paraphrases nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from serxbench.clustering.table import WordTable, load_table
from serxbench.parsing.guards import is_negated
from serxbench.parsing.vocabulary import ORDINARY, Mention, Token, Vocabulary, word_set
from serxbench.rationales.lexicon import compiled
from serxbench.rationales.prose import Prose, Sentence, stem

Kind = Literal["states_label", "paraphrases_label"]


@dataclass(frozen=True, kw_only=True)
class Leak:
    """What gives the label away, as it stands in the text."""

    kind: Kind
    words: str


#: Words for sound and wording that the table also lists as emotions.
_OF_SOUND = word_set(
    """
    flat flatly flatness steady monotone monotonous monotony measured plain bland low down blank formal formally
    conversational factual factually informational informative normal normally regular ordinary straightforward
    stress stressed tension laugh laughing laughs laughter chuckle chuckles chuckling giggle giggles giggling smile
    smiles smiling cry crying cries cried sob sobs sobbing weeping tearful heated cross accent wow blue energetic
    animated lively bouncy springy content concern concerns serious restrained even expressionless marked
    """
) | {"even tone", "matter of fact", "matter of factly", "matter of factness"}

#: Words for a mood that are as often said of a voice; the parser's list of ordinary words has more.
_OF_PEOPLE = word_set(
    "calm calmly calmness relaxed serene serenely peaceful peacefully placid solemn solemnly businesslike"
)

_VOICE = word_set(
    """
    voice voices tone tones pitch delivery pace tempo speech rhythm cadence intonation inflection inflections volume
    loudness articulation enunciation timbre register speed rate speaking utterance utterances sound quality contour
    sentence words word wording phrasing phrase vowels syllables breathing breath onset ending melody prosody manner way
    style pauses pause level levels energy diction line clip audio recording throat larynx flow dynamics content
    statement question message language register
    """
)
_PERSON = word_set(
    """
    speaker she he they i woman man person girl boy lady guy individual talker someone who child teenager caller
    narrator
    """
)
_FEELING = word_set(
    """
    mood emotion emotions feeling feelings state mind attitude disposition demeanor demeanour sentiment affect heart
    spirits spirit mindset outlook temperament frame reaction
    """
)
_AMBIGUOUS = ORDINARY | _OF_SOUND | _OF_PEOPLE

#: "a sense of X", "full of X": what follows is a feeling even if the word is ordinary.
_FEELING_OF = re.compile(
    r"\b(?:sense|feelings?|state|mood|emotions?|hints?|notes?|touch|air|surge|wave|burst|display|expression|mixture|mix"
    r"|undertones?|tinge|trace) of (?:\w+ (?:and|or) |(?:\w+ ){0,2})$"
    r"|\b(?:full of|filled with|out of|overcome (?:by|with)|feel(?:s|ing)?|felt|is in|are in|emotionally"
    r"|express(?:es|ing)?|convey(?:s|ing)?) (?:\w+ (?:and|or) |(?:genuine|deep|great|real|mild|slight|strong|some|a bit"
    r"|very|quite|rather) )?$"
)
_SPELLED = re.compile(r"\b(?:[a-z][ .\-·]{1,2}){2,}[a-z]\b")
_DISGUISED = re.compile(r"(?<![\w'])[a-z]+(?:[*@$0134#]+[a-z]*)+(?![\w'])")

#: How many words a description may be away from what it is said of.
_REACH = 14


class LeakFinder:
    """Finds what gives a label away, with the words of one table."""

    def __init__(self, table: WordTable | None = None) -> None:
        self.table = table or load_table()
        self._vocabulary = Vocabulary(self.table)

    def find(self, prose: Prose, label: str) -> list[Leak]:
        """The leaks of `label` in order. Raises KeyError for a label that is no class.

        >>> from serxbench.rationales.prose import read_prose
        >>> finder = LeakFinder()
        >>> def leaks(text, label):
        ...     return [leak.words for leak in finder.find(read_prose(text, "I am so mad"), label)]
        >>> leaks("The speaker is furious, in a tense voice.", "Angry"), leaks("A tense voice.", "Fear")
        (['furious'], [])
        >>> leaks("The speaker is tense.", "Fear"), leaks('"I am so mad" is said fast.', "Angry")
        (['tense'], [])
        """
        name, phrases = compiled(f"name {label}"), compiled(f"phrase {label}")
        found: list[Leak] = []
        for sentence in prose.sentences:
            named = [Leak(kind="states_label", words=match[0]) for match in name.finditer(sentence.lower)]
            named += [Leak(kind="states_label", words=text) for text in _hidden(sentence.lower, name)]
            seen = {leak.words for leak in named}
            others = [*self._synonyms(prose, sentence, label), *(m[0] for m in phrases.finditer(sentence.lower))]
            if label == "Neutral":
                others += self._denied(sentence)
            found += named
            found += [Leak(kind="paraphrases_label", words=text) for text in others if text not in seen]
        return found

    def _synonyms(self, prose: Prose, sentence: Sentence, label: str) -> Iterator[str]:
        """The words and phrases of the table that paraphrase the label in this sentence."""
        tokens = sentence.tokens
        for mention in self._vocabulary.mentions(sentence.lower, tokens):
            if mention.label == label and _counts(prose, sentence, tokens, mention):
                yield mention.word
        for token in tokens:
            base = self._base(token.text)
            if base is not None and self.table.labels[base] == label and not is_negated(*_around(sentence, token)):
                yield token.text

    def _denied(self, sentence: Sentence) -> list[str]:
        """The emotions that a sentence denies, if they are several: "no anger and no joy" is neutral in other words."""
        mentions = self._vocabulary.mentions(sentence.lower, sentence.tokens)
        denied = {
            mention.label: mention.word
            for mention in mentions
            if not mention.ordinary and is_negated(sentence.lower[: mention.start], sentence.lower[mention.end :])
        }
        return [" and ".join(denied.values())] if len(denied) > 1 else []

    def _base(self, word: str) -> str | None:
        """The unambiguous word of the table that an unlisted word is a form of."""
        if word in self.table.labels:
            return None
        for suffix in ("ness", "ly", "ed", "ing", "es", "s", "er", "est"):
            stump = word.removesuffix(suffix)
            if stump == word or len(stump) < 4:
                continue
            for base in (stump, stump + "e", stump.removesuffix("i") + "y"):
                if base in self._vocabulary.labels and base not in _AMBIGUOUS:
                    return base
        return None


def _counts(prose: Prose, sentence: Sentence, tokens: list[Token], mention: Mention) -> bool:
    before, after = sentence.lower[: mention.start], sentence.lower[mention.end :]
    if is_negated(before, after):
        return False
    of_sound = mention.word in _OF_SOUND
    if not (mention.ordinary or of_sound or mention.word in _OF_PEOPLE):
        return stem(mention.word) not in {stem(word) for word in prose.transcript}
    if stem(mention.word) in {stem(word) for word in prose.transcript}:
        return False
    following = next((t.text for t in tokens[mention.last + 1 : mention.last + 2]), "")
    if following in _FEELING or _FEELING_OF.search(before):
        return True
    return not of_sound and _is_said_of_a_person(tokens, mention)


def _is_said_of_a_person(tokens: list[Token], mention: Mention) -> bool:
    """Whether the nearest noun that the word can belong to is a person or a feeling, and not the voice."""
    for token in tokens[mention.last + 1 : mention.last + 4]:
        if token.text in _VOICE:
            return False
        if token.text in _PERSON or token.text in _FEELING:
            return token.text in _FEELING or token.text not in ("she", "he", "they", "i", "who")
        if token.text not in ("and", "or", "but", "yet", "even", "slightly", "very", "rather") and len(token.text) < 4:
            break
    for token in reversed(tokens[max(0, mention.first - _REACH) : mention.first]):
        if token.text in _VOICE:
            return False
        if token.text in _PERSON or token.text in _FEELING:
            return True
    return False


def _around(sentence: Sentence, token: Token) -> tuple[str, str]:
    return sentence.lower[: token.start], sentence.lower[token.end :]


def _hidden(lower: str, name: re.Pattern[str]) -> Iterator[str]:
    """Names of the class that are spelled out (s-a-d) or disguised (s*d, h4ppy)."""
    for match in _SPELLED.finditer(lower):
        if name.fullmatch(re.sub(r"[^a-z]", "", match[0])):
            yield match[0]
    for match in _DISGUISED.finditer(lower):
        for letters in ("", "a", "e", "i", "o", "s"):
            if name.fullmatch(re.sub(r"[*@$0134#]", letters, match[0])):
                yield match[0]
                break
