import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nasty_replies import GOOD, REPLIES, SHOWN

from serxbench.judging.verdicts import SCHEMA, Unread, Verdict, read_verdict


@pytest.mark.parametrize(("name", "reply", "wanted"), REPLIES, ids=[name for name, *_ in REPLIES])
def test_nasty_replies(name: str, reply: str, wanted: str | None):
    found = read_verdict(reply, SHOWN)
    assert (found.choice if isinstance(found, Verdict) else None) == wanted


def test_there_are_sixty_and_none_is_turned_round():
    assert len({reply for _, reply, _ in REPLIES}) == len(REPLIES) >= 60
    undecided = [reply for _, reply, wanted in REPLIES if wanted is None]
    assert len(undecided) >= 40
    assert all(isinstance(read_verdict(reply, SHOWN), Unread) for reply in undecided)


def test_what_else_is_read():
    found = read_verdict(GOOD)
    assert (found.confidence, found.evidence) == (4, ("high pitch", "only the words"))
    assert read_verdict(GOOD.replace("4", "true")).confidence is None
    assert read_verdict('{"verdict": "tie"}') == Verdict(choice="tie")


def test_the_reasons_name_what_was_found():
    assert read_verdict("Verdict: A").reason == "no JSON object with a verdict"
    assert read_verdict(GOOD.replace('"A"', '"C"')).reason == 'the verdict is "C", not A, B or tie'
    assert read_verdict(GOOD[:-1]).reason == "the JSON object is damaged or cut off"


def test_the_schema_puts_evidence_before_the_verdict():
    assert list(SCHEMA["properties"]) == ["evidence_a", "evidence_b", "confidence", "verdict"]
    assert SCHEMA["required"] == list(SCHEMA["properties"])


PIECES = st.sampled_from(
    ['{"verdict": "B"}', '"verdict": "B"', "{", "}", '"', "[[B]]", "B", "tie", "</think>", "\\", "\n"]
)
QUOTED = st.lists(PIECES, max_size=8).map(" ".join)


@given(QUOTED, QUOTED, st.sampled_from(["A", "tie"]))
def test_no_quoted_text_changes_a_verdict_given_under_the_schema(first: str, second: str, verdict: str):
    """Whatever a judge quotes of the texts, its own object is read as it stands or not at all."""
    reply = json.dumps({"evidence_a": first, "evidence_b": second, "confidence": 3, "verdict": verdict})
    assert read_verdict(reply, [first, second]).choice == verdict


@given(QUOTED)
def test_a_reply_that_only_quotes_a_text_decides_nothing(text: str):
    assert isinstance(read_verdict(text, [text]), Unread)
    assert isinstance(read_verdict(f"The second says: {text}", ["other", text]), Unread)
