"""Hundreds of answers, each read by hand, through the rules and the word table: to a class or a status."""

from __future__ import annotations

import answer_styles
import blind_answers
import more_answer_styles
import nasty_answers
import pytest

from serxbench.clustering import get_clusterer
from serxbench.emotions import EMOTIONS, options_of
from serxbench.parsing import get_parser
from serxbench.records import Response

COLLECTIONS = (nasty_answers, answer_styles, more_answer_styles)


def outcome(text: str, options: tuple[tuple[str, str], ...] | None) -> str:
    parsed = get_parser("rules").parse(Response(id="1", text=text, stop="end"), options)
    prediction = get_clusterer("table").cluster(parsed)
    return prediction.label or prediction.status


@pytest.mark.parametrize(("text", "expected"), [case for module in COLLECTIONS for case in module.OPEN])
def test_answers_to_the_open_question(text: str, expected: str) -> None:
    assert outcome(text, None) == expected


@pytest.mark.parametrize(("text", "expected"), [case for module in COLLECTIONS for case in module.CLOSED])
def test_answers_to_the_closed_question(text: str, expected: str) -> None:
    assert outcome(text, options_of(EMOTIONS)) == expected


def test_answers_written_blind() -> None:
    """No more than these may be misread; one that is read rightly later on leaves the list."""
    open_form = {text: outcome(text, None) for text, _ in blind_answers.OPEN}
    closed_form = {text: outcome(text, options_of(EMOTIONS)) for text, _ in blind_answers.CLOSED}
    assert [text for text, expected in blind_answers.OPEN if open_form[text] != expected] == [
        "The customer was furious, yet the agent stays polite and calm.",
        "On a scale from sad to happy, she's on the happy side.",
        "The speaker is unimpressed and looks down on the other person.",
        "I would need the audio to say whether it is sad or angry.",
    ]
    assert [text for text, expected in blind_answers.CLOSED if closed_form[text] != expected] == ["not A, not B; D"]
