"""The revision of a corpus: the hash that every score is signed with, so it may not change by accident."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from serxbench.corpora import hash_utterances
from serxbench.records import Utterance, Vote

WORDS = st.one_of(st.none(), st.text(max_size=8))
UTTERANCES = st.builds(
    Utterance,
    id=st.text(max_size=8),
    audio=st.one_of(st.none(), st.just(Path("some/where.wav"))),
    transcript=WORDS,
    speaker=WORDS,
    group=WORDS,
    split=WORDS,
    consensus=WORDS,
    votes=st.lists(
        st.builds(
            Vote,
            primary=st.text(max_size=8),
            annotator=WORDS,
            secondary=st.lists(st.text(max_size=8), max_size=3).map(tuple),
            primary_text=WORDS,
        ),
        max_size=3,
    ).map(tuple),
)


@settings(max_examples=200, deadline=None)
@given(utterances=st.lists(UTTERANCES, max_size=3))
def test_the_revision_is_the_hash_of_the_lines_without_audio(utterances: list[Utterance]) -> None:
    lines = "".join(replace(utterance, audio=None).to_json() + "\n" for utterance in utterances)
    assert hash_utterances(utterances) == hashlib.sha256(lines.encode()).hexdigest()


def test_a_revision_stays_what_it_was() -> None:
    votes = (
        Vote(annotator="W1", primary="Sad", secondary=("Sad", "Fear")),
        Vote(primary="Other", primary_text="Other-\u00e9"),
    )
    utterances = [
        Utterance(
            id="a", audio=Path("a.wav"), transcript='"\u4e2d"\n', speaker="1", group="g", split="test1", votes=votes
        ),
        Utterance(id="b", consensus="X"),
    ]
    assert hash_utterances(utterances) == "a5fb58fb79bf2902634269c4693fdceac46ade2ee95068060c93041c0bda9e2c"
