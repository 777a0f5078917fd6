"""Phrases that no rationale may hold: questions, invitations, "Well", and talk about the task instead of the clip.

A violation is cut out where the sentence can do without it: an opening ("Sure, here is the explanation:"), a first or
a last clause (", so feel free to ask"). Otherwise its sentence goes. What follows such a sentence must not lean on it
("Therefore ..."): then nothing is cut, and the rationale is not fit.
Words of the transcript are nobody's violation: "she asks, are you okay?" reports a question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from serxbench.rationales.lexicon import compiled
from serxbench.rationales.prose import Prose, Sentence, content_stems, read_prose, words_of

Code = Literal["question", "invitation", "well", "meta_commentary"]


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What was cut out, and why."""

    code: Code
    text: str


@dataclass(frozen=True, kw_only=True)
class Stripped:
    """A rationale without disallowed phrases. left: codes of those that could not be cut out of `text`."""

    text: str
    removed: tuple[Removed, ...]
    left: tuple[Code, ...]


#: "Well" as a word by itself: at a beginning, or between commas. "Well above average" is something else.
_WELL = re.compile(
    r"(?:^|(?<=[.!?] )|(?<=[,;:–—-] )|^(?:oh|so|and|but|yeah|yes|ok|okay|now|ah|hmm),? )[\s\"'“(]*well"
    r"(?=\s*[,.!…:;–—]|\s*\.{2,}|\s+(?:you know|i|the|it|it's|he|she|they|this|that|there|so|first|now|in|from"
    r"|listening|we|his|her|their|a|an|let|let's|to|basically|obviously|clearly|here|if|what|as|when|since|because)\b)"
    r"[\s,.!…:;–—]*(?:you know[\s,.!…:;–—]*)?|\bwell,? you know\b[\s,.]*|,\s*well,\s*"
)
#: In the order in which they are looked for: "Well" costs the least to cut out.
_PATTERNS: Mapping[Code, re.Pattern[str]] = {
    "well": _WELL,
    "invitation": compiled("invitation"),
    "meta_commentary": compiled("meta_commentary"),
}
#: Openings that a sentence does as well without.
_OPENING = re.compile(
    r"\s*[\"'“]?(?:(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|alright|all right|great|got it|no problem"
    r"|understood|yes|hello|hi)\b\s*[,.!:;–—-]+\s*)?(?:(?:here(?:'s| is| are)|below is|the following is)"
    r" [^.:]{0,80}:\s*)?(?:(?:rationale|reason|reasoning|explanation|analysis|response|output|answer)\s*:\s*)?"
)
_QUESTION_TAIL = re.compile(
    r"[,;–—-]\s*(?:and |so |but |or )?(?:what|how|why|who|where|when|which|do|does|did|don't|doesn't|didn't|is|isn't"
    r"|are|aren't|was|wasn't|would|wouldn't|could|couldn't|can|can't|should|shouldn't|have|has|right|no|yes|correct|agree)\b"
    r"[^,;]*\?"
)
_CLAUSE_BREAK = re.compile(r"[,;:]\s+|\s+[–—-]+\s+")
_LAST_CLAUSE = re.compile(r"[,;:]\s+|\s+[–—-]+\s+|\s(?=(?:and|so|but)\b)")
#: A question without its mark. "What is striking is the pitch" is none.
_ASKS = re.compile(r"\W*(?:what|how|why|where|who|which)(?: \w+)? (?:do|does|did|would|could|can|should|will|might)\b")
_LEANS = re.compile(
    r"\W*(?:therefore|thus|hence|so|otherwise|because of (?:this|that)|for (?:this|that) reason|that is why)\b"
)

#: A part of a sentence shorter than this does not stand alone.
_SMALLEST_REST = 5


def strip_phrases(text: str, transcript: str) -> Stripped:
    """The rationale without its disallowed phrases.

    >>> stripped = strip_phrases("Well, the voice is low and slow. What do you think?", "No.")
    >>> stripped.text, [removed.code for removed in stripped.removed], stripped.left
    ('The voice is low and slow.', ['well', 'question'], ())
    """
    removed: list[Removed] = []
    opening = _OPENING.match(text.lower())
    if opening and (cut := text[: opening.end()]).strip(" \"'“"):
        removed.append(Removed(code="meta_commentary", text=cut.strip()))
        text = _capitalised(text[opening.end() :])
    prose = read_prose(text, transcript)
    kept: list[str] = []
    left: dict[Code, None] = {}
    gone: Code | None = None
    for sentence in prose.sentences:
        rest, cuts = _strip_sentence(sentence, prose)
        removed += cuts
        # What went just before, a sentence or the beginning of this one, must not be what the rest leans on.
        whole = prose.text[sentence.start : sentence.end].strip()
        went = cuts[-1].code if cuts and not whole.startswith(rest[:_SMALLEST_REST]) else gone
        if went and rest and _LEANS.match(rest.lower()):
            left[went] = None
        gone = cuts[-1].code if cuts and not rest else None
        kept.append(rest)
    return Stripped(text=" ".join(filter(None, kept)), removed=tuple(removed), left=tuple(left))


def _strip_sentence(sentence: Sentence, prose: Prose) -> tuple[str, list[Removed]]:
    """What is left of one sentence, and what was cut out of it."""
    rest, cuts = prose.text[sentence.start : sentence.end].strip(), []
    while rest:
        again = read_prose(rest, " ".join(prose.transcript))
        found = _find(again)
        if found is None:
            break
        code, start, end = found
        if code == "well":
            kept = _joined(rest[:start], rest[end:])
        else:
            kept = _without_clause(rest, again.lower, code, start, end)
        cuts.append(Removed(code=code, text=rest if not kept else _cut_out(rest, kept)))
        rest = kept
    return rest, cuts


def _find(prose: Prose) -> tuple[Code, int, int] | None:
    """The first violation in a sentence: its code and where it stands. "Well" comes first, it costs the least."""
    lower = prose.lower
    asks = (lower.rstrip(" )\"'”").endswith("?") and not _asks_in_the_transcript(prose)) or _ASKS.match(lower)
    for code, pattern in _PATTERNS.items():
        for match in pattern.finditer(lower):
            if not _is_transcripts(prose, lower[: match.start()], match[0]):
                return ("question" if asks and code == "invitation" else code), match.start(), match.end()
    return ("question", 0, len(lower)) if asks else None


def _without_clause(rest: str, lower: str, code: Code, start: int, end: int) -> str:
    """`rest` without its first or last clause, if the violation is all in there and enough is left; else nothing."""
    if code == "question":
        tails = list(_QUESTION_TAIL.finditer(lower))
        if tails and _is_long_enough(rest[: tails[-1].start()]):
            return rest[: tails[-1].start()].rstrip() + "."
        return ""
    breaks = list(_CLAUSE_BREAK.finditer(lower))
    after = [match for match in breaks if match.start() >= end]
    if not after:
        before = [match.start() for match in _LAST_CLAUSE.finditer(lower) if match.end() <= start]
        return rest[: before[-1]].rstrip(" ,;:–—-") + "." if before and _is_long_enough(rest[: before[-1]]) else ""
    is_first = all(match.start() >= end for match in breaks)
    return _capitalised(rest[after[0].end() :]) if is_first and _is_long_enough(rest[after[0].end() :]) else ""


def _is_long_enough(text: str) -> bool:
    return len(words_of(text)) >= _SMALLEST_REST


def _is_transcripts(prose: Prose, before: str, match: str) -> bool:
    """Whether the words are the transcript's: its content, or a run of it that the sentence says is said."""
    words = words_of(match)
    content = content_stems(words)
    if content and content <= content_stems(prose.transcript):
        return True
    said = re.search(
        r"\b(?:say|says|said|saying|ask|asks|asked|asking|tell|tells|words?|phrase|plead\w*|beg\w*)\b", before
    )
    return said is not None and prose.says(words)


def _asks_in_the_transcript(prose: Prose) -> bool:
    """Whether the question is the transcript's own: its last three words (or all it has) stand there in a row."""
    asked = words_of(prose.lower[: prose.lower.rfind("?")])[-3:]
    return len(asked) > 1 and prose.says(asked)


def _joined(before: str, after: str) -> str:
    before = before.rstrip(" ,;–—-")
    if not before:
        return _capitalised(after)
    return f"{before}, {after.lstrip()}" if after.strip(" .!?") else before + "."


def _capitalised(text: str) -> str:
    text = text.lstrip(" ,;:–—-")
    return text[:1].upper() + text[1:]


def _cut_out(whole: str, kept: str) -> str:
    """The part of `whole` that is not in `kept`: its beginning or its end."""
    body = kept.rstrip(".")
    if whole.startswith(body):
        return whole[len(body) :].strip(" ,;:–—-")
    return whole[: max(0, len(whole) - len(kept))].strip() or whole
