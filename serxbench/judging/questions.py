"""The question that a judge is asked about two texts: blind, fenced, and the same bytes each time.

A judge sees two texts under the names A and B. It sees no system, no label, no correctness, no id and no file name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serxbench.catalog import Template
from serxbench.untrusted import fence, nonce_of

#: What a judge can hear or read of the recording, and the prompt for it.
PROMPTS: Mapping[str, str] = {"none": "judge", "transcript": "judge-transcript", "audio": "judge-audio"}

REPAIR_PROMPT = "judge-repair"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question. shown: the texts as A and as B. nonce: the code of its fences, which is in neither text."""

    text: str
    shown: tuple[str, str]
    nonce: str


def ask_about(template: Template, shown: tuple[str, str], transcript: str | None = None, *, salt: str = "") -> Question:
    """The question about two texts, in this order. transcript: where the prompt shows one.

    salt: another one makes another nonce, so that the same question can be asked twice.
    """
    code = nonce_of(*shown, transcript or "", salt)
    values = {
        "nonce": code,
        "explanation_a": fence(shown[0], code, "explanation-A"),
        "explanation_b": fence(shown[1], code, "explanation-B"),
    }
    if transcript is not None:
        values["transcript"] = fence(transcript, code, "transcript")
    return Question(text=template.fill(**values), shown=shown, nonce=code)


def ask_again(template: Template, question: Question, reply: str) -> Question:
    """The question after a reply that could not be read, which is quoted like any other text that a model wrote."""
    code = nonce_of(question.text, reply)
    text = template.fill(question=question.text, nonce=code, reply=fence(reply, code, "reply"))
    return Question(text=text, shown=question.shown, nonce=code)
