"""The rules of curation on rationales with planted violations, on clean ones, and on texts that nobody wrote.

planted.jsonl: forty rationales written by hand, with violations of every rule in them. blind.jsonl: a second set,
written when the rules were done and before they saw it, half of it clean: long prose as teachers write it, and traps
(acoustic uses of emotion words, other classes' words, "well" as an adverb, questions that are the transcript's own).
`planted` names the codes that a row should get, among its reasons or among what was cut out; `stands` says whether the
rest should be kept. third.jsonl, fourth.jsonl: as blind.jsonl, each written
when the rules had been mended after the one before.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from serxbench.demo.rationales import make_rows
from serxbench.emotions import EMOTIONS
from serxbench.rationales.duplicates import near_duplicates, shingles, similarity
from serxbench.rationales.form import foreign_language
from serxbench.rationales.leakage import LeakFinder
from serxbench.rationales.prose import clean, read_prose
from serxbench.rationales.rules import REASONS, Examined, Examiner

EXAMINER = Examiner()
HERE = Path(__file__).parent
PLANTED, BLIND, THIRD, FOURTH = (
    [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    for name in ("planted", "blind", "third", "fourth")
)


def examine(row: dict[str, Any]) -> Examined:
    return EXAMINER.examine(row["rationale"], emotion=row["emotion"], transcript=row["transcript"])


@pytest.mark.parametrize("row", [*PLANTED, *BLIND, *THIRD, *FOURTH], ids=lambda row: row["id"])
def test_planted_violations_are_found_and_nothing_else(row: dict[str, Any]) -> None:
    examined = examine(row)
    codes = {*examined.reasons, *(removed.code for removed in examined.removed)}
    assert (sorted(codes), not examined.reasons) == (row["planted"], row["stands"])


def test_every_rule_on_one_text_is_planted() -> None:
    """`malformed` and the rest of these are about rows, not about texts; test_curate.py plants them."""
    of_rows = {"malformed", "no_rationale", "no_transcript", "no_label", "near_duplicate"}
    assert len(PLANTED) == 40
    assert set(REASONS) - of_rows == {code for row in PLANTED for code in row["planted"]}


def test_clean_generated_rationales_pass() -> None:
    rows = random.Random(9).sample(make_rows(), 200)
    assert [row for row in rows if examine(row).reasons] == []


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_a_generated_rationale_leaks_no_other_emotion_either(emotion: str) -> None:
    for row in random.Random(4).sample(make_rows(), 40):
        examined = examine({**row, "emotion": emotion})
        assert not {"states_label", "paraphrases_label"} & set(examined.reasons), row


@pytest.mark.parametrize(("emotion", "leaks"), [("anger", True), ("ang", True), ("HAPPY", False), ("Other", None)])
def test_labels_of_other_people_mean_their_class(emotion: str, leaks: bool | None) -> None:
    text = 'An irritated voice says "so much" at a fast pace, in a loud and harsh tone.'
    examined = EXAMINER.examine(text, emotion=emotion, transcript="I miss her so much.")
    expected = {True: ("paraphrases_label",), False: (), None: ("no_label",)}
    assert examined.reasons == expected[leaks]


def test_a_whole_target_string_gives_its_reason() -> None:
    text = "<think>sad?</think><asr> No. </asr><answer> sad </answer><reason> A low voice. </reason>"
    assert EXAMINER.examine(text, emotion="Sad", transcript="No.").text == "A low voice."


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300), st.sampled_from(EMOTIONS), st.text(max_size=60))
def test_any_text_gets_a_verdict_and_keeps_it(text: str, emotion: str, transcript: str) -> None:
    examined = EXAMINER.examine(text, emotion=emotion, transcript=transcript)
    assert set(examined.reasons) <= set(REASONS)
    if not examined.reasons:
        again = EXAMINER.examine(examined.text, emotion=emotion, transcript=transcript)
        assert (again.text, again.reasons, again.removed) == (examined.text, (), ())


@pytest.mark.parametrize(
    "row", [row for row in (*PLANTED, *BLIND, *THIRD, *FOURTH) if row["stands"]], ids=lambda row: row["id"]
)
def test_what_is_kept_passes_again(row: dict[str, Any]) -> None:
    once = examine(row)
    twice = examine({**row, "rationale": once.text})
    assert (twice.text, twice.reasons, twice.removed) == (once.text, (), ())


@settings(max_examples=100)
@given(st.text(max_size=200))
def test_cleaning_is_done_at_once(text: str) -> None:
    assert clean(clean(clean(text))) == clean(clean(text))


WORDS = st.lists(st.sampled_from(["low", "high", "voice", "pace"]), min_size=1, max_size=9).map(" ".join)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), WORDS), max_size=9), st.sampled_from([0.3, 0.5, 0.8, 1.0]), st.randoms()
)
def test_near_duplicates_are_exact_and_independent_of_order(
    rows: list[tuple[str, str]], threshold: float, chance: random.Random
) -> None:
    lost = near_duplicates(rows, threshold)
    sets = [shingles(text) for _, text in rows]
    staying = [n for n in range(len(rows)) if n not in lost]
    for loser, winner in lost.items():
        assert winner in staying
        assert similarity(sets[loser], sets[winner]) >= threshold
    for n in staying:
        assert not any(similarity(sets[n], sets[other]) >= threshold for other in staying if other != n)
    order = list(range(len(rows)))
    chance.shuffle(order)
    shuffled = near_duplicates([rows[n] for n in order], threshold)
    assert sorted(rows[n] for n in staying) == sorted(rows[order[n]] for n in range(len(rows)) if n not in shuffled)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The pitch is low and the pace is slow.", None),
        ("Pitch low, pace slow, voice breathy, ending falling.", None),
        ("La voz es baja y el ritmo es muy lento con una pausa.", "Spanish"),
        ("Low pitch. 说话很慢。", "another script"),
        ('She says "die Katze ist auf dem Dach" in a low voice.', None),
    ],
)
def test_languages(text: str, language: str | None) -> None:
    assert foreign_language(read_prose(text, "Die Katze ist auf dem Dach.")) == language


def test_the_hash_of_the_rules_is_the_same_for_the_same_rules() -> None:
    assert EXAMINER.sha256 == Examiner().sha256
    assert json.loads(json.dumps(EXAMINER.sha256)) != EXAMINER.table.sha256


@pytest.mark.skipif(not (SHARED / "answers").is_dir(), reason="development data is not here")
def test_the_label_is_found_in_real_answers_that_commit_to_it() -> None:
    rows = [json.loads(line) for line in (SHARED / "answers" / "answers_dev.jsonl").read_text("utf-8").splitlines()]
    committed = [row for row in rows if row["label"] in EMOTIONS and len(row["response"].split()) >= 5]
    finder = LeakFinder()
    missed = [row for row in committed if not finder.find(read_prose(clean(row["response"]), ""), row["label"])]
    assert len(committed) > 60
    assert missed == []
