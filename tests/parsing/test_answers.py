"""Hundreds of answers, each read by hand, through the rules and the word table: to a class or a status."""

from __future__ import annotations

import answer_styles
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
