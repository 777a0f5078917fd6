"""Does a rationale draw on what was said? Quotation, overlap of content words, or reported speech.

Content evidence is one of

    quote    it quotes the transcript, or has three of its words in a row (two if both are content words)
    overlap  it shares content words with the transcript by their stems: two, or one if the transcript has no more than
             four or the sentence speaks of words (says, mentions, the phrase ...)
    report   it reports what is said in words of its own ("talks about missing somebody"); of a long transcript, such a
             report shares at least one word, or it is not of this transcript

Words for sound, for speaking and for reasoning are no content, unless the sentence speaks of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from serxbench.parsing.vocabulary import word_set
from serxbench.rationales.acoustics import acoustic_terms
from serxbench.rationales.lexicon import compiled
from serxbench.rationales.prose import STOPWORDS, Prose, Sentence, content_stems, shared_stems, stem

ContentEvidence = Literal["quote", "overlap", "report"]

#: A transcript with so many content words has one in every honest paraphrase.
LONG_TRANSCRIPT = 4
_SHORT_TRANSCRIPT = 4

#: What rationales say whatever was said: words for sound, for speaking, for reasoning and for feelings at large.
BOILERPLATE = word_set(
    """
    speaker speakers speech speaking speak speaks spoken voice voices vocal vocally tone tones pitch volume
    loudness loud soft quiet pace tempo rate speed fast slow quick rapid high low higher lower steady intonation
    inflection prosody rhythm pause pauses breath breathing breathy emphasis stress articulation clear clarity
    clearly delivery style manner quality audio clip recording sound sounds sounding hear heard listener
    acoustic acoustics features characteristics cues person man woman words word content transcript sentence
    phrase statement message text wording line utterance language meaning literal context situation topic
    emotion emotions emotional feeling feelings mood state expression expresses expressed expressing express
    conveys convey conveyed conveying suggests suggest suggesting indicates indicate indicating shows show
    showing reflects reflect reflecting reveals reveal implies imply supports support supporting impression
    overall together combined combination contribute contributes strong strongly intense intensity level degree
    clearly evident consistent consistently overall reinforces reinforce reinforcing matches match matching
    aligns align points point sense says said saying talks talk talking mentions mention mentioning describes
    describe refers refer states stated ask asks asked tells seriousness positive negative important moment
    effect way nature part kind rising falling flat rough smooth harsh sharp tense calm
    """
)
BOILERPLATE_STEMS = frozenset(map(stem, BOILERPLATE))

_SPEAKS_OF_WORDS = compiled("words")
#: What introduces the content of reported speech.
_REPORTED = compiled("report")


def content_evidence(prose: Prose) -> ContentEvidence | None:
    """The strongest evidence that a rationale draws on the transcript, or None.

    >>> from serxbench.rationales.prose import read_prose
    >>> def evidence(text):
    ...     return content_evidence(read_prose(text, "I miss her so much."))
    >>> evidence('The words "so much" weigh.'), evidence("She talks of missing somebody."), evidence("A low voice.")
    ('quote', 'overlap', None)
    >>> evidence("The speaker describes the absence of a friend."), evidence("The words support this impression.")
    ('report', None)
    """
    if any(_says_something(quoted) for quoted in prose.spoken) or _has_run(prose):
        return "quote"
    wanted = content_stems(prose.transcript)
    shared: set[str] = set()
    reports = False
    for sentence in prose.sentences:
        words = [token.text for token in sentence.tokens]
        of_words = _SPEAKS_OF_WORDS.search(sentence.lower) is not None
        said = content_stems(words)
        here = shared_stems(wanted, said if of_words else said - BOILERPLATE_STEMS)
        if here and (of_words or len(wanted) <= _SHORT_TRANSCRIPT):
            return "overlap"
        shared |= here
        reports = reports or _reports(sentence)
    if len(shared) >= 2:
        return "overlap"
    return "report" if reports and (len(wanted) < LONG_TRANSCRIPT or shared) else None


def acoustic_evidence(prose: Prose) -> tuple[str, ...]:
    """The families of acoustic description in a rationale; empty if it draws on nothing that can be heard."""
    return tuple(dict.fromkeys(term.family for term in acoustic_terms(prose)))


def _says_something(quoted: str) -> bool:
    return any(character.isalnum() for character in quoted)


def _has_run(prose: Prose) -> bool:
    """Whether three words of the transcript, or two content words, stand in a row outside quotation marks."""
    pairs, triples = _runs(prose.transcript, 2), _runs(prose.transcript, 3)
    for sentence in prose.sentences:
        words = [token.text for token in sentence.tokens]
        # "the voice is": three words in a row that every rationale may have say nothing.
        if any(any(map(_is_content, run)) for run in _runs(words, 3) & triples):
            return True
        if any(all(map(_is_content, run)) for run in _runs(words, 2) & pairs):
            return True
    return False


def _runs(words: Sequence[str], length: int) -> set[tuple[str, ...]]:
    return {tuple(words[n : n + length]) for n in range(len(words) - length + 1)}


def _reports(sentence: Sentence) -> bool:
    """Whether the sentence reports something said, with two words or more that any other rationale would not have."""
    for match in _REPORTED.finditer(sentence.lower):
        rest = [token.text for token in sentence.tokens if token.start >= match.end()]
        if sum(map(_is_content, rest)) >= 2:
            return True
    return False


def _is_content(word: str) -> bool:
    return word not in STOPWORDS and stem(word) not in BOILERPLATE_STEMS
