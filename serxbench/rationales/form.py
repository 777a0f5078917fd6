"""The form of a rationale: how long, whether it ends, whether it goes round in circles, and in which language."""

from __future__ import annotations

import re
from collections import Counter

from serxbench.parsing.vocabulary import word_set
from serxbench.rationales.prose import STOPWORDS, Prose, Sentence, words_of

#: Below this share of distinct word trigrams a text repeats itself; English prose of such length has over 0.9.
DISTINCT_SHARE = 0.75

#: A sentence of so many words that stands there twice is no accident.
_REPEATED_WORDS = 4

_ENDINGS = (".", "!", "?", "…", '"', "'", "”", "’", ")", "»")
#: A text whose last word is one of these was cut.
_NO_LAST_WORDS = word_set(
    """
    a an and as at because but by for from her his if in into is its my nor of on or our so than that the their these
    this those to was were which while who whose with your are be been has have had very more such
    """
)
_FOREIGN = {
    language: word_set(words)
    for language, words in {
        "German": "der die das und ist nicht ein eine mit sich auf für den dem von wird stimme sie er sprecher zu",
        "French": "le la les et est un une des du que qui dans pas avec pour sur elle il voix au ce cette ton plus sa",
        "Spanish": "el la los las y es un una que de en con por para se su no voz del al lo ella tono más muy como",
        "Italian": "il la lo gli e è un una che di in con per si non voce del della al tono più suo sua le molto",
        "Portuguese": "o a os as e é um uma que de em com por para se não voz do da ao ela tom mais muito sua seu",
        "Dutch": "de het een en is niet van met op voor zij hij stem dat die aan in te zijn haar wordt",
    }.items()
}  # fmt: skip
_NOT_LATIN = re.compile(r"[\u0370-\u1cff\u2e80-\ud7ff\uf900-\ufaff\uff66-\uffdc]")
#: English words that a text of this kind has beside the stopwords.
_ENGLISH = STOPWORDS | word_set(
    """
    voice pitch tone speaker words pace loud soft slow fast high low speech steady rough pause end says quiet breath
    sounds speaks spoken loudness volume intonation rate delivery
    """
)
#: English prose has 0.35 to 0.6 of its words in that list, a list of keywords 0.2.
_ENGLISH_SHARE = 0.15
#: Shorter sentences can be anything.
_FEWEST_WORDS = 4


def count_words(text: str) -> int:
    """Words of a text, in any script that separates them."""
    return len(text.split())


def distinct_share(text: str) -> float:
    """Distinct word trigrams as a share of all; 1 for a text that has none.

    >>> distinct_share("so low and so low and so low"), distinct_share("a low voice")
    (0.5, 1.0)
    """
    words = words_of(text)
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(trigrams)) / len(trigrams) if trigrams else 1.0


def is_repetitive(prose: Prose) -> bool:
    """Whether a sentence stands there twice, or too few trigrams are distinct."""
    sentences = Counter(tuple(words_of(prose.text[s.start : s.end])) for s in prose.sentences)
    twice = any(n > 1 and len(words) >= _REPEATED_WORDS for words, n in sentences.items())
    return twice or distinct_share(prose.text) < DISTINCT_SHARE


def is_unfinished(text: str, *, cut: bool = False) -> bool:
    """Whether the text stops in the middle. cut: the token limit ended it, so it must show that it was at an end.

    >>> is_unfinished("The pitch is low and the"), is_unfinished("Low pitch, slow pace")
    (True, False)
    """
    stripped = text.rstrip()
    if not stripped or stripped.endswith(_ENDINGS):
        return False
    words = words_of(stripped)
    return cut or not stripped[-1].isalnum() or bool(words and words[-1] in _NO_LAST_WORDS)


def foreign_language(prose: Prose) -> str | None:
    """What the text, or one of its sentences, is written in if not in English: a language, or the script.

    >>> from serxbench.rationales.prose import read_prose
    >>> foreign_language(read_prose("Die Stimme ist leise und zittert, die Worte sind klar.", ""))
    'German'
    """
    for sentence in prose.sentences:
        if len(_NOT_LATIN.findall(sentence.lower)) >= 2:
            return "another script"
        if language := _language_of(sentence):
            return language
    return None


def _language_of(sentence: Sentence) -> str | None:
    words = [token.text for token in sentence.tokens]
    if len(words) < _FEWEST_WORDS:
        return None
    shares = {name: sum(word in known for word in words) / len(words) for name, known in _FOREIGN.items()}
    english = sum(word in _ENGLISH for word in words) / len(words)
    best = max(shares, key=lambda name: shares[name])
    if shares[best] > english and shares[best] >= 0.2:
        return best
    return "an unknown language" if english < _ENGLISH_SHARE and len(words) >= 2 * _FEWEST_WORDS else None
