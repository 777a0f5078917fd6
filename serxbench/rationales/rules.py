"""One rationale → kept or not, with the reasons: all rules of curation in the order in which they are applied."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Literal, get_args

from serxbench.clustering.table import WordTable, load_table
from serxbench.emotions import EMOTIONS
from serxbench.parsing.tags import sections_of
from serxbench.rationales.duplicates import DEFAULT_SIMILARITY
from serxbench.rationales.evidence import acoustic_evidence, content_evidence
from serxbench.rationales.form import count_words, foreign_language, is_repetitive, is_unfinished
from serxbench.rationales.leakage import LeakFinder
from serxbench.rationales.phrases import Removed, strip_phrases
from serxbench.rationales.prose import clean, read_prose
from serxbench.untrusted import without_thoughts

Reason = Literal[
    "malformed",
    "no_rationale",
    "no_transcript",
    "no_label",
    "states_label",
    "paraphrases_label",
    "no_content_evidence",
    "no_acoustic_evidence",
    "question",
    "invitation",
    "well",
    "meta_commentary",
    "too_short",
    "too_long",
    "repetition",
    "unfinished",
    "language",
    "near_duplicate",
]

REASONS: tuple[Reason, ...] = get_args(Reason)

#: What each reason says of a rationale.
MEANINGS: Mapping[Reason, str] = {
    "malformed": "the line is no JSON object with id, emotion, transcript and rationale as text",
    "no_rationale": "there is no text, or the row says that the teacher gave none",
    "no_transcript": "the words are not known, so nothing can be said to draw on them",
    "no_label": "the emotion belongs to none of the eight classes",
    "states_label": "it names the emotion or a form of its name",
    "paraphrases_label": "it says the emotion in other words",
    "no_content_evidence": "it draws on nothing that is said",
    "no_acoustic_evidence": "it describes nothing that can be heard",
    "question": "it asks something, and the rest does not stand without it",
    "invitation": "it invites the reader to go on, and the rest does not stand without it",
    "well": 'it says "Well", and the rest does not stand without it',
    "meta_commentary": "it speaks of the task, the label or the model, and the rest does not stand without it",
    "too_short": "it has too few words",
    "too_long": "it has too many words",
    "repetition": "it says the same again",
    "unfinished": "it stops in the middle",
    "language": "it, or a sentence of it, is not in English",
    "near_duplicate": "another one that is kept says nearly the same",
}

#: Package → the files that decide.
_SOURCES = {
    "serxbench.rationales": "acoustics.py duplicates.py evidence.py form.py leakage.py lexicon.py lexicon.tsv"
    " phrases.py prose.py rules.py",
    "serxbench.parsing": "guards.py passages.py tags.py vocabulary.py",
}


def extract_rationale(text: str) -> str:
    """The rationale in an answer: the part in its tags if it has them, else all outside tags and thoughts.

    >>> extract_rationale("<answer>sad</answer><reason> A low voice. </reason>"), extract_rationale(" A low voice.")
    ('A low voice.', 'A low voice.')
    """
    parts = sections_of(without_thoughts(text), lambda token: False)
    return parts.rationale or parts.body


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The thresholds that somebody may want otherwise. similarity: Jaccard of trigrams that makes a near-duplicate."""

    min_words: int = 10
    max_words: int = 250
    similarity: float = DEFAULT_SIMILARITY


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What the rules say of one rationale by itself. No reasons: it is fit. text: cleaned and stripped."""

    text: str
    reasons: tuple[Reason, ...]
    removed: tuple[Removed, ...] = ()
    details: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Examiner:
    """Applies the rules to one rationale at a time. `sha256` changes whenever their outcome could."""

    bounds: Bounds = field(default_factory=Bounds)
    table: WordTable = field(default_factory=load_table)

    @property
    def sha256(self) -> str:
        """Hash of the rules' source code and the word table's content."""
        digest = hashlib.sha256(self.table.sha256.encode())
        for package, names in _SOURCES.items():
            for name in names.split():
                digest.update(resources.files(package).joinpath(name).read_bytes())
        return digest.hexdigest()

    @functools.cached_property
    def _finder(self) -> LeakFinder:
        return LeakFinder(self.table)

    def examine(self, text: str, *, emotion: str, transcript: str, cut: bool = False) -> Examined:
        """The cleaned rationale and why it is not fit, if it is not.

        emotion: a class, or a word that the table maps to one ("anger"). cut: the token limit ended the text.

        >>> found = Examiner().examine("Well, she says \\"so much\\" in a low, breathy voice at a slow pace.",
        ...                            emotion="Sad", transcript="I miss her so much.")
        >>> found.text, found.reasons
        ('She says "so much" in a low, breathy voice at a slow pace.', ())
        """
        text = clean(extract_rationale(text))
        if not text:
            return Examined(text="", reasons=("no_rationale",))
        stripped = strip_phrases(text, transcript)
        if not stripped.text:
            codes: set[str] = {removed.code for removed in stripped.removed}
            reasons_left = tuple(reason for reason in REASONS if reason in codes)
            return Examined(text="", reasons=reasons_left, removed=stripped.removed)
        before = self._check(text, emotion, transcript, cut=cut)
        after = self._check(stripped.text, emotion, transcript, cut=cut)
        reasons: dict[Reason, str] = dict.fromkeys(stripped.left, "")
        # Where it is the cutting that makes the rest unfit, what was cut out is a reason too.
        if after.keys() - before.keys():
            reasons |= dict.fromkeys((removed.code for removed in stripped.removed), "")
        reasons |= after
        return Examined(
            text=stripped.text,
            reasons=tuple(reason for reason in REASONS if reason in reasons),
            removed=stripped.removed,
            details=tuple(detail for detail in reasons.values() if detail),
        )

    def _check(self, text: str, emotion: str, transcript: str, *, cut: bool) -> dict[Reason, str]:
        """Reason → what was found, of everything that cannot be cut out."""
        prose = read_prose(text, transcript)
        found: dict[Reason, str] = {}
        if not prose.transcript:
            found["no_transcript"] = ""
        label = emotion if emotion in EMOTIONS else self.table.lookup(emotion)
        if label not in EMOTIONS:
            found["no_label"] = ""
        else:
            for leak in self._finder.find(prose, label):
                found[leak.kind] = ", ".join(filter(None, (found.get(leak.kind, ""), leak.words)))
        if language := foreign_language(prose):
            found["language"] = language
        # The words of evidence are English ones.
        if language is None and prose.transcript and content_evidence(prose) is None:
            found["no_content_evidence"] = ""
        if language is None and not acoustic_evidence(prose):
            found["no_acoustic_evidence"] = ""
        n_words = count_words(text)
        if n_words < self.bounds.min_words:
            found["too_short"] = f"{n_words} words"
        if n_words > self.bounds.max_words:
            found["too_long"] = f"{n_words} words"
        if is_repetitive(prose):
            found["repetition"] = ""
        if is_unfinished(text, cut=cut):
            found["unfinished"] = ""
        return found
