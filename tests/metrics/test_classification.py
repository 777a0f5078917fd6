import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    precision_recall_fscore_support,
    recall_score,
)

from serxbench.errors import MetricError
from serxbench.metrics import FORMULAS, Selection, classification, confusion_matrix, contributions, macro_f1

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:sklearn")


@st.composite
def scored(draw):
    """References and answers of any shape: absent classes, Other and failures, few items."""
    n_classes = draw(st.integers(1, 9))
    n_items = draw(st.integers(1, 60))
    used = draw(st.lists(st.integers(0, n_classes - 1), min_size=1, max_size=n_classes))
    answered = draw(st.lists(st.integers(0, n_classes), min_size=1, max_size=n_classes + 1))
    labels = draw(st.lists(st.sampled_from(used), min_size=n_items, max_size=n_items))
    answers = draw(st.lists(st.sampled_from(answered), min_size=n_items, max_size=n_items))
    return np.array(labels), np.array(answers), n_classes


@settings(max_examples=400, deadline=None)
@given(scored())
def test_equals_scikit_learn(case):
    labels, answers, n_classes = case
    among = {"labels": list(range(n_classes)), "zero_division": 0}
    found = classification(labels, answers, n_classes)
    assert found.macro_f1 == pytest.approx(f1_score(labels, answers, average="macro", **among))
    assert found.weighted_f1 == pytest.approx(f1_score(labels, answers, average="weighted", **among))
    assert found.uar == pytest.approx(recall_score(labels, answers, average="macro", **among))
    assert found.accuracy == pytest.approx(accuracy_score(labels, answers))
    assert macro_f1(labels, answers, n_classes) == found.macro_f1
    rows = [(s.precision, s.recall, s.f1, s.support) for s in found.per_class]
    np.testing.assert_allclose(rows, np.transpose(precision_recall_fscore_support(labels, answers, **among)))
    assert sum(map(sum, found.confusion)) == len(labels) == found.n


@settings(max_examples=200, deadline=None)
@given(scored())
def test_averages_over_present_classes_equal_scikit_learn(case):
    labels, answers, n_classes = case
    found = classification(labels, answers, n_classes, average="present")
    present = np.unique(labels)
    assert found.macro_f1 == pytest.approx(f1_score(labels, answers, labels=present, average="macro", zero_division=0))
    with np.errstate(all="ignore"):
        assert found.uar == pytest.approx(balanced_accuracy_score(labels, np.where(answers == n_classes, -1, answers)))


@settings(max_examples=100, deadline=None)
@given(scored())
def test_totals_give_the_same_scores(case):
    labels, answers, n_classes = case
    found = classification(labels, answers, n_classes)
    totals = contributions(Selection.of(labels, n_classes), answers, "mv")
    assert totals.value() == pytest.approx(found.macro_f1)
    for name in ("uar", "accuracy", "weighted_f1"):
        assert totals.value(FORMULAS[name]) == pytest.approx(getattr(found, name))


def test_a_failure_is_a_miss_and_nobodys_answer():
    # class 0: TP 1, references 2, answers 1 → 2/3; class 1: TP 1, references 2, answers 2 → 1/2
    found = classification([0, 0, 1, 1], [0, 2, 1, 2], 2)
    assert [s.f1 for s in found.per_class] == pytest.approx([2 / 3, 2 / 3])
    assert found.accuracy == 0.5
    assert found.confusion == ((1, 0, 1), (0, 1, 1))
    assert [s.answered for s in found.per_class] == [1, 1]


def test_an_absent_class_stays_in_the_mean_unless_named_otherwise():
    assert classification([0, 0], [0, 0], 4).macro_f1 == 0.25
    assert classification([0, 0], [0, 0], 4, average="present").macro_f1 == 1.0


def test_all_failures_score_zero():
    found = classification([0, 1, 2], [3, 3, 3], 3)
    assert (found.macro_f1, found.uar, found.accuracy, found.weighted_f1) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("labels", "answers", "message"),
    [
        ([0, 1], [0], "2 references, 1 predictions"),
        ([], [], "no items"),
        ([0, 2], [0, 0], "references: item 1 is 2, wanted 0"),
        ([0, 1], [0, 3], "predictions: item 1 is 3, wanted 0 … 2"),
        ([0, -1], [0, 0], "references: item 1 is -1"),
        ([0, 1], [0, 0.5], "wanted whole numbers"),
        ([0, 1], [0, np.nan], "wanted whole numbers"),
        ([[0, 1]], [0, 1], "wanted one number per item"),
        (np.ma.masked_equal([0, 1], 1), [0, 1], "masked entries"),
    ],
)
def test_what_does_not_fit_is_refused(labels, answers, message):
    with pytest.raises(MetricError, match=message):
        confusion_matrix(labels, answers, 2)
