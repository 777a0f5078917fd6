"""What can be said of one rationale without a judge: what it takes from the transcript and the sound, and its form."""

from __future__ import annotations

from collections.abc import Mapping

from serxbench.emotions import EMOTIONS
from serxbench.rationales.acoustics import acoustic_terms
from serxbench.rationales.evidence import BOILERPLATE_STEMS, content_evidence
from serxbench.rationales.form import count_words, distinct_share
from serxbench.rationales.leakage import LeakFinder
from serxbench.rationales.prose import Prose, clean, content_stems, read_prose, shared_stems, words_of

#: Measure → what it is, in the order in which they are reported.
MEASURES: Mapping[str, str] = {
    "words": "length in words",
    "transcript_recall": "share of the transcript's content words that the rationale has, by their stems",
    "transcript_precision": "share of the rationale's own content words that the transcript has",
    "content_evidence": "share of rationales that draw on what is said",
    "acoustic_evidence": "share of rationales that draw on how it is said",
    "acoustic_terms": "acoustic descriptions a rationale",
    "label_leakage": "share of rationales that name or paraphrase the label they explain",
    "distinct_trigrams": "distinct word trigrams as a share of all in a rationale",
}

#: Those that are counts; the others are shares.
COUNTS = frozenset({"words", "acoustic_terms"})


def measure_rationale(text: str, *, transcript: str | None, label: str | None, finder: LeakFinder) -> dict[str, float]:
    """Measure → value; one that does not apply is absent: overlap without a transcript, leakage without a label.

    >>> found = measure_rationale('She says "so much" in a low voice.', transcript="I miss her so much.", label="Sad",
    ...                           finder=LeakFinder())
    >>> found["words"], found["transcript_recall"], found["label_leakage"], found["acoustic_evidence"]
    (8.0, 0.0, 0.0, 1.0)
    """
    prose = read_prose(clean(text), transcript or "")
    terms = acoustic_terms(prose)
    found = {
        "words": float(count_words(prose.text)),
        "acoustic_evidence": float(bool(terms)),
        "acoustic_terms": float(len(terms)),
        "distinct_trigrams": distinct_share(prose.text),
    }
    found |= _overlap(prose)
    if prose.transcript:
        found["content_evidence"] = float(content_evidence(prose) is not None)
    if label in EMOTIONS:
        found["label_leakage"] = float(bool(finder.find(prose, str(label))))
    return found


def _overlap(prose: Prose) -> dict[str, float]:
    wanted = content_stems(prose.transcript)
    said = content_stems(words_of(prose.text))
    shared = shared_stems(wanted, said)
    own = said - BOILERPLATE_STEMS - shared
    found = {}
    if wanted:
        found["transcript_recall"] = len(shared) / len(wanted)
        if own or shared:
            found["transcript_precision"] = len(shared) / len(own | shared)
    return found
