"""Systems that hardly vary: a limit must not explode, nor leave the range of a score."""

from __future__ import annotations

import numpy as np
import pytest

from serxbench.metrics import FORMULAS, Selection, contributions
from serxbench.statistics import Inference, Unit, interval, paired_test

#: Recall 1 for one class and 0 for three, of 200 items: in many resamples of the speakers UAR does not move at all.
LABELS = [0] * 60 + [1] * 60 + [2] * 74 + [3] * 6
ANSWERS = [0] * 59 + [1] + [0] * 60 + [0] * 74 + [3] * 5 + [0]
SPEAKERS = Unit.of("speaker", [f"s{item % 40}" for item in range(200)])


@pytest.mark.parametrize("formula", ["macro_f1", "uar", "accuracy", "weighted_f1"])
@pytest.mark.parametrize("method", ["studentized", "jackknife", "delta", "percentile", "bca"])
def test_limits_stay_where_a_score_can_be(formula: str, method: str) -> None:
    system = contributions(Selection.of(LABELS, 4), ANSWERS, "mv")
    found = interval(system, FORMULAS[formula], unit=SPEAKERS, how=Inference(method=method, n_resamples=2000))
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low < 12 * found.se + 1e-9


def test_where_resamples_do_not_vary_the_jackknife_takes_over() -> None:
    # UAR moves with two items only, of two speakers: in an eighth of the resamples neither speaker is drawn.
    system = contributions(Selection.of(LABELS, 4), ANSWERS, "mv")
    asked = Inference(method="studentized", n_resamples=2000)
    assert interval(system, FORMULAS["uar"], unit=SPEAKERS, how=asked).method == "jackknife"
    assert interval(system, FORMULAS["accuracy"], unit=SPEAKERS, how=asked).method == "studentized"


def test_a_system_that_never_varies_has_an_interval_of_nothing() -> None:
    labels = np.arange(4).repeat(20)
    system = contributions(Selection.of(labels, 4), labels, "mv")
    for method in ("studentized", "jackknife", "percentile"):
        found = interval(system, how=Inference(method=method, n_resamples=500))
        assert (found.low, found.value, found.high) == (1.0, 1.0, 1.0)


def test_differences_stay_between_minus_one_and_one() -> None:
    selection = Selection.of([0, 1] * 4, 2)
    good, bad = (contributions(selection, answers * 4, "mv") for answers in ([0, 1], [1, 0]))
    for method in ("studentized", "jackknife", "delta"):
        found = paired_test(good, bad, how=Inference(method=method, n_resamples=500))
        assert -1 <= found.low <= found.difference <= found.high <= 1
