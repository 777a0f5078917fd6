import numpy as np
import pytest
from sklearn.metrics import f1_score, multilabel_confusion_matrix, recall_score

from serxbench.errors import MetricError, UnknownName
from serxbench.metrics import (
    FORMULAS,
    VARIANTS,
    ReferencePolicy,
    Selection,
    VoteTable,
    all_labels,
    contributions,
    floors,
    guess,
    references,
    variant_table,
)
from serxbench.metrics.all_labels import multilabel_threshold

# Three items, two classes, worked by hand: A = {0,1}, {0}, {0,1}; m = 0, 0, 1; answers 1 (hit), 1 (miss), Other (miss)
HAND = Selection.of([0, 0, 1], 2, votes=[[2, 1, 0], [3, 0, 1], [1, 2, 0]])
ANSWERS = [1, 1, 2]


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("mv", 0.0),  # nothing equals the plurality
        ("credited_reference", (0 + 2 * 1 / (2 + 2)) / 2),  # r = 1, 0, 1: class 1: TP 1, R 2, P 2
        ("credited_fn_split", (0 + 2 * 1 / (1.5 + 2)) / 2),  # misses: item 1 → class 0; item 2 → half each
        ("credited_fn_all", (0 + 2 * 1 / (2 + 2)) / 2),
        ("credited_prediction", (2 * 1 / (2 + 1) + 0) / 2),  # the hit becomes 0; class 0: TP 1, R 2, P 1
        ("multilabel", (0 + 2 * 1 / (2 + 2)) / 2),  # class 1 is in two unions
        ("multilabel_thr", 0.0),  # shares over 1/2: {0}, {0}, {1}
        ("annotator_pooled", (0 + 2 * (1 / 3) / (1 + 2)) / 2),  # class 1: p = 1/3, 0, 2/3
        ("hit_rate", 1 / 3),
        ("macro_hit_recall", (1 / 2 + 0) / 2),
        ("macro_hit_precision", (0 + 1 / 2) / 2),
    ],
)
def test_every_variant_by_hand(variant, expected):
    assert contributions(HAND, ANSWERS, variant).value() == pytest.approx(expected)


def test_every_variant_has_a_hand_worked_value():
    marks = test_every_variant_by_hand.pytestmark
    assert {case[0] for mark in marks for case in mark.args[1]} == set(VARIANTS)


def random_case(rng, n_items=40, n_classes=5):
    votes = rng.multinomial(5, rng.dirichlet(np.full(n_classes + 1, 0.5), n_items))
    selection = references(
        VoteTable(labels=tuple("ABCDEFGH"[:n_classes]), votes=votes), ReferencePolicy(ties="first")
    ).select("all")
    return selection, rng.integers(0, n_classes + 1, selection.n_items)


def test_multilabel_and_credited_reference_equal_scikit_learn():
    rng = np.random.default_rng(1)
    for _ in range(200):
        selection, answers = random_case(rng)
        classes = np.arange(selection.n_classes)
        sets = selection.union[:, :-1]
        chosen = answers[:, None] == classes
        expected = f1_score(sets, chosen, average="macro", zero_division=0)
        assert contributions(selection, answers, "multilabel").value() == pytest.approx(expected)
        hit = (sets & chosen).any(axis=1)
        credited = np.where(hit, answers, selection.labels)
        expected = f1_score(credited, answers, labels=classes, average="macro", zero_division=0)
        assert all_labels(selection, answers).value == pytest.approx(expected)
        assert all_labels(selection, answers).hit_rate == pytest.approx(hit.mean())
        replaced = np.where(hit, selection.labels, answers)
        expected = f1_score(selection.labels, replaced, labels=classes, average="macro", zero_division=0)
        assert contributions(selection, answers, "credited_prediction").value() == pytest.approx(expected)
        matrix = multilabel_confusion_matrix(sets, chosen)
        totals = contributions(selection, answers, "multilabel").totals
        np.testing.assert_allclose(totals[: selection.n_classes], matrix[:, 1, 1])
        recall = recall_score(credited, answers, labels=classes, average="macro", zero_division=0)
        assert contributions(selection, answers).value(FORMULAS["uar"]) == pytest.approx(recall)


def test_variants_reduce_to_mv_when_annotators_agree():
    rng = np.random.default_rng(2)
    labels, answers = rng.integers(0, 4, 60), rng.integers(0, 5, 60)
    selection = Selection.of(labels, 4, votes=5 * (labels[:, None] == np.arange(5)))
    mv = contributions(selection, answers, "mv").value()
    same = ("credited_reference", "credited_fn_split", "credited_fn_all", "credited_prediction", "multilabel")
    for variant in (*same, "multilabel_thr", "annotator_pooled"):
        assert contributions(selection, answers, variant).value() == pytest.approx(mv), variant
    accuracy = contributions(selection, answers, "mv").value(FORMULAS["accuracy"])
    assert contributions(selection, answers, "hit_rate").value() == pytest.approx(accuracy)


def test_threshold_zero_is_the_union():
    rng = np.random.default_rng(3)
    selection, answers = random_case(rng)
    zero = contributions(selection, answers, multilabel_threshold(0.0)).value()
    assert zero == pytest.approx(contributions(selection, answers, "multilabel").value())


def test_scores_do_not_depend_on_the_order_of_the_items():
    rng = np.random.default_rng(4)
    selection, answers = random_case(rng)
    order = rng.permutation(selection.n_items)
    shuffled = Selection.of(selection.labels[order], selection.n_classes, votes=selection.votes[order])
    one, two = variant_table(selection, answers), variant_table(shuffled, answers[order])
    assert one == pytest.approx(two, abs=1e-12)


def test_other_is_credited_only_where_asked_and_never_a_failure():
    votes = np.array([[3, 0, 1], [0, 2, 0]])
    table = VoteTable(labels=("Angry", "Sad"), votes=votes)
    answers = [2, 1]
    default = references(table).select("all")
    assert contributions(default, answers, "hit_rate", said_other=np.array([True, False])).value() == 0.5
    creditable = references(table, ReferencePolicy(other_creditable=True)).select("all")
    assert contributions(creditable, answers, "hit_rate", said_other=np.array([True, False])).value() == 1.0
    assert contributions(creditable, answers, "hit_rate").value() == 0.5  # a failure, not an answer


def test_ties_included_by_policy_are_charged_in_equal_parts():
    table = VoteTable(labels=("Angry", "Sad"), votes=np.array([[1, 1, 0], [2, 0, 0]]))
    selection = references(table, ReferencePolicy(include_x=True)).select("all")
    found = contributions(selection, [2, 0])
    # class 0: TP 1, R 1 + ½, P 1; class 1: TP 0, R ½
    assert found.value() == pytest.approx((2 * 1 / 2.5) / 2)
    for variant in ("mv", "credited_prediction", "macro_hit_recall"):
        with pytest.raises(MetricError, match="1 items have none"):
            contributions(selection, [2, 0], variant)


def test_annotator_aware_scores_need_annotators():
    bare = Selection.of([0, 1], 2)
    assert contributions(bare, [0, 1], "mv").value() == 1.0
    with pytest.raises(MetricError, match="labels of single annotators"):
        contributions(bare, [0, 1], "credited_reference")
    sets_only = Selection.of([0, 1], 2, union=np.eye(2, dtype=bool))
    with pytest.raises(MetricError, match="vote counts"):
        contributions(sets_only, [0, 1], "annotator_pooled")


def test_bad_input_is_named():
    with pytest.raises(UnknownName, match="did you mean 'credited_reference'"):
        contributions(HAND, ANSWERS, "credited_refrence")
    with pytest.raises(MetricError, match="3 references, 2 predictions"):
        contributions(HAND, [0, 1])
    with pytest.raises(MetricError, match="item 0: its reference 1 is not among"):
        Selection.of([1], 2, votes=[[2, 0, 0]])


def test_floors_equal_the_mean_over_random_guessers():
    rng = np.random.default_rng(5)
    selection, _ = random_case(rng, n_items=20_000)
    for variant in VARIANTS:
        closed = floors(selection, variant)
        prior = selection.support / selection.support.sum()
        uniform = np.full(selection.n_classes, 1 / selection.n_classes)
        for shares, expected in ((uniform, closed.uniform), (prior, closed.prior)):
            drawn = [
                contributions(selection, rng.choice(selection.n_classes, selection.n_items, p=shares), variant).value()
                for _ in range(5)
            ]
            assert np.mean(drawn) == pytest.approx(expected, abs=0.004), variant
        constant = np.full(selection.n_items, closed.majority_class)
        assert closed.majority == pytest.approx(contributions(selection, constant, variant).value())


def test_majority_guess_nearly_wins_under_credited_prediction():
    rng = np.random.default_rng(6)
    votes = rng.multinomial(8, [0.6, 0.2, 0.1, 0.1, 0.0], 500)
    selection = references(VoteTable(labels=tuple("ABCD"), votes=votes)).select("all")
    assert floors(selection, "credited_prediction").majority > 2 * floors(selection, "credited_reference").majority


def test_guess_wants_probabilities():
    with pytest.raises(MetricError, match="sum to 1"):
        guess(HAND, [0.5, 0.6])
