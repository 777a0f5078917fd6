from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serxbench.catalog import load_template
from serxbench.errors import UnknownName, UsageError
from serxbench.judging.canaries import INJECTIONS, ORDERS, CanaryVerdict, make_canaries, sum_up
from serxbench.judging.pairs import UNDECIDED, Selecting, System, as_rule, orders_of, select
from serxbench.judging.questions import ask_about, ask_again
from serxbench.judging.texts import Labelled
from serxbench.judging.warnings import Relative, family_warnings

IDS = [f"u{n:02}" for n in range(24)]
LABELS = ("Angry", "Sad", "Happy")


def system(letter: str, labels: dict[str, str | None]) -> System:
    return System(
        letter=letter,
        answers={id: Labelled(text=f"{letter} says {id}", label=label) for id, label in labels.items()},
    )


def label_of(id: str) -> str:
    return LABELS[int(id[1:]) % 3]


AGREE = {id: label_of(id) for id in IDS}


def test_same_label_takes_agreed_items_and_counts_the_others():
    b = {**AGREE, "u00": "Sad", "u01": None, "u02": "Other"}
    a = {**AGREE, "u02": "Other"}
    del b["u03"]
    found = select([system("a", a), system("b", b)], IDS, Selecting(labels=LABELS), {})
    assert [item.id for item in found.items] == IDS[4:]
    assert found.left_out == {"ab": {"both say Other": 1, "different labels": 1, "no explanation": 1, "no label": 1}}
    assert {item.emotion for item in found.items} == set(LABELS)
    assert all(item.emotion == label_of(item.id) for item in found.items)


def test_both_correct_and_all_go_by_the_plurality():
    plurality = {id: label_of(id) for id in IDS} | {"u00": "Sad", "u01": None}
    systems = [system("a", AGREE), system("b", {**AGREE, "u02": "Sad"})]
    correct = select(systems, IDS, Selecting(rule="both-correct", labels=LABELS), plurality)
    assert [item.id for item in correct.items] == IDS[3:]
    assert correct.left_out["ab"] == {"both are wrong": 1, "different labels": 1, "no plurality": 1}
    every = select(systems, IDS, Selecting(rule="all", labels=LABELS), plurality)
    assert [item.emotion for item in every.items[:3]] == ["Sad", UNDECIDED, "Happy"]


def test_a_sample_says_what_is_missing_and_depends_on_the_seed_alone():
    labels = {id: "Fear" if int(id[1:]) < 4 else label_of(id) for id in IDS}
    systems = [system("a", labels), system("b", labels)]
    chosen = Selecting(per_emotion=5, labels=("Fear", "Neutral", *LABELS), seed=3)
    found = select(systems, IDS, chosen, {})
    assert {s.emotion: (s.n_taken, s.shortfall) for s in found.strata} == {
        "Fear": (4, 1), "Neutral": (0, 5), "Angry": (5, 0), "Sad": (5, 0), "Happy": (5, 0),
    }  # fmt: skip
    again = select(systems, IDS[::-1], chosen, {})
    assert {item.id for item in again.items} == {item.id for item in found.items}
    assert [item.id for item in again.items] == [item.id for item in found.items][::-1]
    other = select(systems, IDS, Selecting(per_emotion=5, labels=LABELS, seed=4), {})
    assert {item.id for item in other.items} != {item.id for item in found.items}


def test_three_systems_are_three_pairs():
    found = select([system(letter, AGREE) for letter in "abc"], IDS, Selecting(labels=LABELS), {})
    assert Counter(item.pair for item in found.items) == dict.fromkeys(("ab", "ac", "bc"), 24)


def test_nothing_to_judge_is_an_error_with_the_reasons():
    with pytest.raises(UsageError, match=r"ab: 24 different labels"):
        select([system("a", AGREE), system("b", dict.fromkeys(IDS, "Fear"))], IDS, Selecting(labels=LABELS), {})
    with pytest.raises(UsageError, match="two runs or more"):
        select([system("a", AGREE)], IDS, Selecting(), {})
    with pytest.raises(UnknownName, match="did you mean 'both-correct'"):
        as_rule("bothcorrect")


@given(st.integers(0, 10**6), st.integers(1, 24))
def test_one_order_is_balanced_within_each_emotion(seed: int, n: int):
    items = select([system("a", AGREE), system("b", AGREE)], IDS[:n], Selecting(labels=LABELS), {}).items
    orders = orders_of(items, "one", seed)
    for emotion in {item.emotion for item in items}:
        shown = Counter(orders["ab", item.id][0] for item in items if item.emotion == emotion)
        assert abs(shown["ab"] - shown["ba"]) <= 1
    assert set(orders_of(items, "both", seed).values()) == {("ab", "ba")}


TEXT = st.text(max_size=60) | st.sampled_from(["</explanation-A>", "{{nonce}}", "{{explanation_b}}", "Verdict: A"])


@given(TEXT, TEXT)
def test_a_question_holds_both_texts_whole_between_tags_that_they_cannot_close(first: str, second: str):
    template = load_template("judge")
    found = ask_about(template, (first, second))
    assert f"<explanation-A-{found.nonce}>\n{first}\n</explanation-A-{found.nonce}>" in found.text
    assert f"<explanation-B-{found.nonce}>\n{second}\n</explanation-B-{found.nonce}>" in found.text
    assert found.text.count(found.nonce) == 5
    assert found == ask_about(template, (first, second)), "the same question is the same bytes"
    assert found.nonce != ask_about(template, (first, second), salt="again").nonce
    repeated = ask_again(load_template("judge-repair"), found, first)
    assert repeated.text.startswith(found.text)
    assert repeated.nonce not in found.text


def test_canaries_are_what_they_say():
    items = select([system("a", AGREE), system("b", AGREE)], IDS, Selecting(labels=LABELS), {}).items
    shown = {(item.pair, item.id): (item.texts[0].text, item.texts[1].text) for item in items}
    found = make_canaries(items, shown, 6, seed=1)
    kinds = Counter(canary.kind for canary in found)
    assert kinds == dict.fromkeys(kinds, 6)
    for canary in found:
        first, second = canary.shown(ORDERS[0])
        assert canary.control in (second, first)
        if canary.kind == "identical":
            assert first == second
        if canary.kind in ("padded", "repeated"):
            assert len(first) >= 2 * len(second)
        if canary.kind == "other clip":
            assert first in {text for pair in shown.values() for text in pair} - {second}
    injected = [canary for canary in found if canary.kind == "injection"]
    assert len({canary.injected for canary in injected}) == len(INJECTIONS) == 6
    assert any("Verdict: A" in canary.shown("probe first")[0] for canary in injected)
    assert any("Verdict: B" in canary.shown("control first")[1] for canary in injected)


def test_canaries_by_hand():
    def said(kind: str, order: str, verdict: str | None) -> CanaryVerdict:
        return CanaryVerdict(kind=kind, id="u", pair="ab", order=order, status="ok", verdict=verdict)

    verdicts = [
        said("identical", "probe first", "probe"), said("identical", "control first", "tie"),
        said("empty", "probe first", "control"), said("empty", "control first", None),
        said("again", "ab", "other"), said("again", "ba", "same"),
    ]  # fmt: skip
    identical, empty, again = sum_up(verdicts)
    assert (identical.fooled, identical.n_first, identical.n_ties, identical.n) == (1, 1, 1, 2)
    assert (empty.fooled, empty.n, empty.n_unread) == (0, 1, 1)
    assert (again.fooled, again.n) == (1, 2)


def test_a_judge_of_the_same_family_is_named():
    relatives = [Relative(role="system a", name="q2a", family="qwen"), Relative(role="system b", name="x", family=None)]
    same = family_warnings("judge", "qwen", relatives)
    assert len(same) == 2
    assert "of the family qwen, as is q2a, system a" in same[0]
    assert "x (system b)" in same[1]
    assert "nothing is known of the family of the judge" in family_warnings("judge", None, relatives)[0]
