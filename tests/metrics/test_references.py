import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serxbench.errors import MetricError
from serxbench.metrics import ReferencePolicy, VoteTable, check_consensus, references, vote_table
from serxbench.records import Utterance, Vote

LABELS = ("Angry", "Sad", "Happy")
VOTES = np.array(
    [
        [3, 1, 0, 1],  # strict majority with Other counted (3/5)
        [2, 1, 0, 1],  # 2/4: a majority only among the classes
        [2, 2, 0, 1],  # tie
        [0, 1, 0, 3],  # plurality Other
        [0, 0, 0, 0],  # no votes
        [0, 0, 0, 2],  # only Other
    ]
)


def table(**more):
    return VoteTable(labels=LABELS, votes=VOTES, **more)


def test_plurality_strict_and_union_by_hand():
    found = references(table())
    assert found.has_plurality.tolist() == [True, True, False, True, False, True]
    assert found.plurality[[0, 1, 3, 5]].tolist() == [0, 0, 3, 3]
    assert found.strict.tolist() == [True, False, False, True, False, True]
    assert found.union[:4].tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [True, True, False, False],
        [False, True, False, False],
    ]
    assert found.n_votes.tolist() == [5, 4, 5, 4, 0, 2]


def test_what_is_left_out_is_counted_by_reason():
    found = references(table())
    assert found.select("mv").items.tolist() == [0, 1]
    assert found.select("mv").excluded == {"no_plurality": 1, "no_votes": 1, "other_plurality": 2}
    strict = found.select("all", "strict")
    assert strict.items.tolist() == [0]
    assert strict.excluded == {"no_strict_majority": 1, "no_plurality": 1, "no_votes": 1, "other_plurality": 2}
    for selection in (found.select("mv"), strict):
        assert selection.n_items + sum(selection.excluded.values()) == len(VOTES)


def test_unused_entries_cannot_be_mistaken_for_a_class():
    found = references(table())
    with pytest.raises(IndexError):
        np.eye(4)[found.plurality]


def test_the_strict_denominator_can_leave_other_out():
    found = references(table(), ReferencePolicy(other_in_strict_denominator=False))
    assert found.strict.tolist()[:3] == [True, True, False]


def test_ties_first_and_random():
    assert references(table(), ReferencePolicy(ties="first")).plurality[2] == 0
    draws = {int(references(table(), ReferencePolicy(ties="random", seed=s)).plurality[2]) for s in range(20)}
    assert draws == {0, 1}
    again = [references(table(), ReferencePolicy(ties="random", seed=3)).plurality[2] for _ in range(2)]
    assert again[0] == again[1]
    assert not references(table(), ReferencePolicy(ties="first")).strict[2]


def test_include_x_adds_ties_to_all_and_never_to_mv():
    found = references(table(), ReferencePolicy(include_x=True))
    assert found.select("all").items.tolist() == [0, 1, 2]
    assert found.select("all").has_label.tolist() == [True, True, False]
    assert found.select("mv").items.tolist() == [0, 1]


def test_secondary_labels_enter_the_union_only_where_asked():
    secondary = np.zeros(VOTES.shape, bool)
    secondary[0, 2] = True
    assert not references(table(secondary=secondary)).union[0, 2]
    assert references(table(secondary=secondary), ReferencePolicy(secondary=True)).union[0, 2]
    with pytest.raises(MetricError, match="needs secondary labels"):
        references(table(), ReferencePolicy(secondary=True))


def test_consensus_without_votes_is_scored_but_has_no_union():
    found = references(VoteTable(labels=LABELS, votes=np.zeros((4, 4), int), consensus=("Sad", "X", None, "Rage")))
    selection = found.select("mv")
    assert selection.items.tolist() == [0]
    assert selection.labels.tolist() == [1]
    assert selection.excluded == {"no_votes": 2, "other_plurality": 1}
    assert found.union is None
    assert found.strict is None
    assert selection.union is None
    assert selection.mean_union is None
    for kind, subset in (("all", "all"), ("mv", "strict")):
        with pytest.raises(MetricError, match="need the votes of single annotators"):
            found.select(kind, subset)


def test_votes_go_before_the_consensus_and_all_leaves_consensus_only_items_out():
    votes = np.array([[1, 3, 0, 0], [0, 0, 0, 0]])
    found = references(VoteTable(labels=LABELS, votes=votes, consensus=("Angry", "Happy")))
    assert found.select("mv").labels.tolist() == [1, 2]
    assert found.select("mv").union is None
    assert found.select("all").items.tolist() == [0]
    assert found.select("all").excluded == {"no_votes": 1}


def test_self_check_against_the_released_consensus():
    released = ("Angry", "Sad", "X", "Other", "Angry", None)
    check = check_consensus(table(consensus=released), references(table(consensus=released)))
    assert (check.agree, check.total, check.differing) == (3, 4, (1,))


def test_vote_table_counts_foreign_classes_as_other():
    votes = (
        Vote(primary="Sad", secondary=("Fear", "Happy")),
        Vote(primary="Contempt"),
        Vote(primary="Other"),
    )
    found = vote_table([Utterance(id="a", votes=votes, consensus="X"), Utterance(id="b")], LABELS)
    assert found.votes.tolist() == [[0, 1, 0, 2], [0, 0, 0, 0]]
    assert found.secondary.tolist()[0] == [False, False, True, True]
    assert found.consensus == ("X", None)


def test_the_signature_names_every_choice():
    texts = {
        str(ReferencePolicy(**change))
        for change in (
            {},
            {"ties": "first"},
            {"ties": "random"},
            {"ties": "random", "seed": 1},
            {"other_in_strict_denominator": False},
            {"other_creditable": True},
            {"secondary": True},
            {"include_x": True},
        )
    }
    assert len(texts) == 8
    assert " " not in "".join(texts)


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        ([[1, 2, 3]], "wanted items × 4"),
        ([[1, 2, 3, -1]], "negative count"),
        ([[1, 2, 3, 0.5]], "whole numbers"),
        ([1, 2, 3, 4], "wanted items × 4"),
    ],
)
def test_malformed_votes_are_refused(votes, message):
    with pytest.raises(MetricError, match=message):
        VoteTable(labels=LABELS, votes=votes)


def test_consensus_of_another_length_is_refused():
    with pytest.raises(MetricError, match="1 consensus labels for 6 items"):
        table(consensus=("Sad",))


def test_nothing_left_to_score_is_an_error():
    with pytest.raises(MetricError, match="no item is left"):
        references(VoteTable(labels=LABELS, votes=VOTES[2:])).select()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=20), st.randoms())
def test_references_do_not_depend_on_the_order_of_the_items(votes, random):
    votes = np.array(votes)
    order = np.array(random.sample(range(len(votes)), len(votes)))
    one, two = (
        references(VoteTable(labels=LABELS, votes=votes)),
        references(VoteTable(labels=LABELS, votes=votes[order])),
    )
    for name in ("plurality", "has_plurality", "has_votes", "union", "strict"):
        first, second = getattr(one, name), getattr(two, name)
        assert (first is None) == (second is None)
        if first is not None:
            assert (first[order] == second).all()
