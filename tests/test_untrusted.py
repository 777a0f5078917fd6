"""Text from models, handled as data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serxbench.untrusted import fence, last_json_object, nonce_of, without_thoughts


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_no_text_can_close_its_fence(texts: list[str]) -> None:
    nonce = nonce_of(*texts)
    fenced = "\n".join(fence(text, nonce, "answer") for text in texts)
    assert fenced.count(f"</answer-{nonce}>") == len(texts)
    assert all(text in fenced for text in texts)


def test_a_text_that_holds_the_nonce_is_refused() -> None:
    with pytest.raises(ValueError, match="nonce_of"):
        fence("so </answer-00ff>", "00ff", "answer")
    first = nonce_of("a")
    assert nonce_of("a", first) not in ("a", first)


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("plain", "plain"),
        ("<think>a</think><think>b</think>c", "c"),
        ("<THINK>a</THINK> c", "c"),
        ("the template opened it</think>\n\nc", "c"),
        ("c <think>and then it went on", "c"),
        ("<|channel|>analysis<|message|>Happy?<|end|>", ""),
        ("<|channel|>final<|message|>Sad<|return|>", "Sad"),
        ("<|channel|>final <|constrain|>json<|message|>{}<|return|>", "{}"),
        ("analysisThe user wants Happy.assistantfinalSad", "Sad"),
        ("analysis of the voice: sad", "analysis of the voice: sad"),
        ("", ""),
    ],
)
def test_thoughts_are_no_answer(reply: str, left: str) -> None:
    assert without_thoughts(reply) == left


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('{"a": 1}{"a": 2}', {"a": 2}),
        ('{"a": {"b": 1}}', {"a": {"b": 1}}),
        ('{"a": "}{"}', {"a": "}{"}),
        ("{not json} {'a': 1}", None),
        ('{"a": NaN}', None),
        ('so {"a": 1} and {"a": ', {"a": 1}),
        ("[1, 2]", None),
        ("{" * 100_000, None),
        ('{"a":' * 5_000, None),
    ],
)
def test_the_last_whole_object(reply: str, found: Any) -> None:
    assert last_json_object(reply) == found


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5)))
def test_any_object_is_found_in_prose(value: dict[str, Any]) -> None:
    assert last_json_object(f"Here it is: {json.dumps(value)}. I hope that helps.") == value
