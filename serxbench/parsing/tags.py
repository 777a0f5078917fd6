"""Taking an answer apart at its tags: reasoning, chat-template leftovers, transcript, answer, rationale."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_THOUGHT = r"(?:think|thinking|thought|thoughts|reasoning|analysis|scratchpad|reflection|cot)"
_THOUGHT_PAIR = re.compile(rf"[<\[]{_THOUGHT}[>\]].*?[<\[]/{_THOUGHT}[>\]]", re.IGNORECASE | re.DOTALL)
_THOUGHT_CLOSED = re.compile(rf"^.*[<\[]/{_THOUGHT}[>\]]", re.IGNORECASE | re.DOTALL)
_THOUGHT_OPEN = re.compile(rf"[<\[]{_THOUGHT}[>\]].*$", re.IGNORECASE | re.DOTALL)
# OpenAI's harmony format: every message is <|channel|>NAME<|message|>TEXT<|end|>; only channel `final` is the answer.
_HARMONY = re.compile(
    r"<\|channel\|>\s*(\w+)[^<]*<\|message\|>(.*?)(?=<\|(?:end|return|start|channel|call)\|>|$)", re.DOTALL
)
# The same with its special tokens decoded away: "analysis...assistantfinal...".
_HARMONY_BARE = re.compile(r"^\s*analysis.*assistant\s*final", re.DOTALL)
_SPECIAL = re.compile(
    r"<\|([^|<>\n]{0,40})\|>|</?s>|<(?:eos|bos|pad|unk|end_of_turn|start_of_turn)>|\[/?INST\]|<audio>"
)
_ROLE = re.compile(r"^\s*(?:assistant|model)\s*[:\n]\s*")

_ANSWER = r"(?:answer|final[_ -]?answer|emotion|label|prediction|final|output|result|emo)"
_ANSWER_PAIR = re.compile(
    rf"[<\[]({_ANSWER})[>\]](.*?)(?:[<\[]/\1[>\]]|(?=<(?:asr|reason|rationale|answer)>)|$)", re.I | re.S
)
_TRANSCRIPT = re.compile(
    r"<(asr|transcript|transcription)>(.*?)(?:</\1>|(?=<(?:answer|reason|rationale|emotion)>)|$)", re.I | re.S
)
_RATIONALE = re.compile(r"<(reason|rationale|explanation)>(.*?)(?:</\1>|(?=<(?:answer|asr|emotion)>)|$)", re.I | re.S)
_STRAY_TAG = re.compile(
    r"</?(?:asr|transcript|transcription|reason|rationale|explanation|answer|emotion|label|b|i|p|br|strong|em)\s*/?>",
    re.I,
)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{((?:[^{}]|\{[^{}]*\})*)\}?")
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit|emph)\s*\{([^{}]*)\}|\$|\\[,;! ]")


# Most answers have nothing to take apart.
_MARKED = re.compile(r"[<\[\\]|^\s*(?:assistant|model|analysis)")


@dataclass(frozen=True, kw_only=True)
class Sections:
    """The parts of an answer. body: what is left when reasoning, transcript, rationale and answer tags are gone.

    answers: the contents of its answer tags and boxes, in order; empty if it has none.
    """

    body: str
    answers: tuple[str, ...]
    transcript: str | None
    rationale: str | None


def sections_of(text: str, is_emotion: Callable[[str], bool]) -> Sections:
    """The sections of an answer; unclosed tags reach to the next tag or the end.

    is_emotion: says which chat-template tokens are answers, as SenseVoice's `<|HAPPY|>` is.

    >>> parts = sections_of("<asr> Oh no </asr><answer> I think the emotion is sad <reason> low", lambda token: False)
    >>> parts.transcript, parts.answers, parts.rationale, parts.body
    ('Oh no', ('I think the emotion is sad',), 'low', '')
    """
    if not _MARKED.search(text):
        return Sections(body=text.strip(), answers=(), transcript=None, rationale=None)
    text = _without_template(_without_thoughts(_final_channel(text)), is_emotion)
    transcript, text = _take(_TRANSCRIPT, text)
    rationale, text = _take(_RATIONALE, text)
    answers = [
        match[2].strip() for match in _ANSWER_PAIR.finditer(text) if match[0][0] == "<" or f"[/{match[1]}]" in text
    ]
    body = (
        _ANSWER_PAIR.sub(lambda m: " " if m[0][0] == "<" or f"[/{m[1]}]" in text else m[0], text) if answers else text
    )
    boxed = [_LATEX.sub(r"\1", match[1]).strip() for match in _BOXED.finditer(body)]
    answers = [_LATEX.sub(r"\1", _BOXED.sub(r"\1", answer)) for answer in answers]
    return Sections(
        body=_STRAY_TAG.sub(" ", _BOXED.sub(" ", body)).strip(),
        answers=tuple(_STRAY_TAG.sub(" ", answer).strip() for answer in (*boxed, *answers) if answer.strip()),
        transcript=transcript,
        rationale=rationale,
    )


def said(text: str) -> str:
    """An answer as somebody reads it: without thoughts, chat-template leftovers, and the transcript that it repeats.

    >>> said("<think>angry?</think><asr> I hate it </asr><answer> sad </answer>")
    '<answer> sad </answer>'
    """
    if not _MARKED.search(text):
        return text.strip()
    return _take(_TRANSCRIPT, _without_template(_without_thoughts(_final_channel(text)), lambda token: False))[
        1
    ].strip()


def _final_channel(text: str) -> str:
    messages = _HARMONY.findall(text)
    if not messages:
        return _HARMONY_BARE.sub("", text)
    final = [content for channel, content in messages if channel == "final"]
    return final[-1] if final else ""


def _without_thoughts(text: str) -> str:
    text = _THOUGHT_PAIR.sub(" ", text)
    # A chat template may have opened the thought in the prompt: then only its end is in the answer.
    text = _THOUGHT_CLOSED.sub(" ", text)
    return _THOUGHT_OPEN.sub(" ", text)


def _without_template(text: str, is_emotion: Callable[[str], bool]) -> str:
    text = _SPECIAL.sub(lambda m: f" {m[1]} " if m[1] and is_emotion(m[1]) else " ", text)
    return _ROLE.sub("", text)


def _take(pattern: re.Pattern[str], text: str) -> tuple[str | None, str]:
    found = [match[2].strip() for match in pattern.finditer(text)]
    return (found[-1] or None) if found else None, pattern.sub(" ", text)
