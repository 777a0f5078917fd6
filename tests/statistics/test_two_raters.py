"""Agreement of two raters against hand-worked numbers, scikit-learn, and its own definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from serxbench.errors import MetricError
from serxbench.statistics import Inference, Unit
from serxbench.statistics.proportions import wilson
from serxbench.statistics.two_raters import agreement_contributions, agreement_formula, compare_raters, kappa_formula

CODES = ("A", "B", "tie")
FAST = Inference(n_resamples=500)

ratings = st.lists(st.tuples(st.sampled_from(CODES), st.sampled_from(CODES)), min_size=2, max_size=60)


def from_counts(*cells: tuple[str, str, int]) -> tuple[list[str], list[str]]:
    pairs = [(a, b) for a, b, n in cells for _ in range(n)]
    return [a for a, _ in pairs], [b for _, b in pairs]


@pytest.mark.parametrize(
    ("cells", "kappa", "ac1"),
    [
        # 85 of 100 agree throughout. Margins 90/10: p_e = .82, and 2 · .9 · .1 = .18 for AC1.
        ([("A", "A", 825), ("A", "B", 75), ("B", "A", 75), ("B", "B", 25)], 0.03 / 0.18, 0.67 / 0.82),
        # margins 50/50: p_e = .5 for both
        ([("A", "A", 425), ("A", "B", 75), ("B", "A", 75), ("B", "B", 425)], 0.7, 0.7),
        # Cohen's example of a perfect disagreement: p_o = 0, p_e = .5
        ([("A", "B", 50), ("B", "A", 50)], -1.0, -1.0),
    ],
)
def test_by_hand(cells: list[tuple[str, str, int]], kappa: float, ac1: float) -> None:
    found = compare_raters(*from_counts(*cells), ("A", "B"), how=FAST)
    assert found.kappa is not None
    assert found.kappa.value == pytest.approx(kappa)
    assert found.ac1.value == pytest.approx(ac1)


def test_three_codes_by_hand() -> None:
    """n = 10, agree 7. Margins of the first (5, 3, 2), of the second (4, 4, 2): p_e = (20 + 12 + 4) / 100 = .36.
    AC1: q = (.45, .35, .2), Σ q (1 − q) = .2475 + .2275 + .16 = .635, p_e = .3175."""
    cells = [("A", "A", 4), ("A", "B", 1), ("B", "B", 2), ("B", "tie", 1), ("tie", "tie", 1), ("tie", "B", 1)]
    found = compare_raters(*from_counts(*cells), CODES, how=FAST)
    assert found.confusion == ((4, 1, 0), (0, 2, 1), (0, 1, 1))
    assert found.given_first("B") == (2, 3)
    assert found.agreement.value == 0.7
    assert found.kappa is not None
    assert found.kappa.value == pytest.approx(0.34 / 0.64)
    assert found.ac1.value == pytest.approx((0.7 - 0.3175) / 0.6825)


@given(ratings)
@settings(deadline=None, max_examples=60)
def test_kappa_is_scikit_learns_and_inside_its_interval(pairs: list[tuple[str, str]]) -> None:
    first, second = (list(each) for each in zip(*pairs, strict=True))
    found = compare_raters(first, second, CODES, how=Inference(n_resamples=100))
    if found.kappa is None:
        assert len(set(first) | set(second)) == 1
        return
    assert found.kappa.value == pytest.approx(cohen_kappa_score(first, second, labels=list(CODES)), abs=1e-12)
    assert found.kappa.high is not None
    assert found.kappa.high <= 1
    swapped = compare_raters(second, first, CODES, how=Inference(n_resamples=100))
    assert swapped.kappa is not None
    assert swapped.kappa.value == pytest.approx(found.kappa.value, abs=1e-12)


def test_one_code_everywhere_has_no_kappa() -> None:
    found = compare_raters(["A"] * 20, ["A"] * 20, CODES)
    assert found.kappa is None
    assert found.ac1.value == 1
    assert found.agreement.low == pytest.approx(wilson(20, 20)[0])


def test_raters_who_never_differ_have_an_interval_nevertheless() -> None:
    """Wilson's lower limit of 30 of 30 is 30 / (30 + 1.96²) = .8865; p_e = .5, so κ ≥ 1 − .1135 / .5 = .773."""
    codes = ["A"] * 15 + ["B"] * 15
    found = compare_raters(codes, codes, ("A", "B"))
    assert found.kappa is not None
    assert (found.kappa.value, found.kappa.high) == (1, 1)
    assert found.kappa.low == pytest.approx(0.773, abs=5e-4)


def test_raters_who_never_agree_have_an_interval_nevertheless() -> None:
    """Wilson's upper limit of 0 of 30 is 3.84 / 33.84 = .1135; p_e = .5, so κ ≤ −1 + .1135 / .5 = −.773."""
    found = compare_raters(["A"] * 15 + ["B"] * 15, ["B"] * 15 + ["A"] * 15, ("A", "B"))
    assert found.kappa is not None
    assert (found.kappa.value, found.kappa.low) == (-1, -1)
    assert found.kappa.high == pytest.approx(-0.773, abs=5e-4)
    assert found.agreement.high == pytest.approx(0.1135, abs=5e-5)


def test_intervals_widen_for_clusters_of_equal_items() -> None:
    """Every speaker's 20 items are one verdict: the items say no more than the speakers do."""
    rng = np.random.default_rng(7)
    verdicts = [(CODES[a], CODES[a if rng.random() < 0.7 else b]) for a, b in rng.integers(0, 3, (60, 2))]
    first = [a for a, _ in verdicts for _ in range(20)]
    second = [b for _, b in verdicts for _ in range(20)]
    speakers = Unit.of("speaker", [f"s{k}" for k in range(60) for _ in range(20)])
    by_item = compare_raters(first, second, CODES, how=FAST).kappa
    by_speaker = compare_raters(first, second, CODES, unit=speakers, how=FAST).kappa
    assert by_item is not None
    assert by_speaker is not None
    assert (by_speaker.high - by_speaker.low) > 3 * (by_item.high - by_item.low)  # type: ignore[operator]


def test_coverage_of_kappa() -> None:
    """300 items, true κ by enumeration of the joint distribution: the 95 % interval holds it 92 to 98 times in 100."""
    joint = np.array([[0.35, 0.05, 0.02], [0.06, 0.25, 0.02], [0.03, 0.02, 0.20]])
    expected = float(joint.sum(axis=1) @ joint.sum(axis=0))
    true = (np.trace(joint) - expected) / (1 - expected)
    rng, covered = np.random.default_rng(3), 0
    for _ in range(200):
        cells = rng.choice(9, size=300, p=joint.reshape(-1))
        found = compare_raters([CODES[c // 3] for c in cells], [CODES[c % 3] for c in cells], CODES, how=FAST).kappa
        assert found is not None
        covered += found.low <= true <= found.high  # type: ignore[operator]
    assert 184 <= covered <= 197


def test_weights_are_repetitions() -> None:
    first, second, weights = [0, 0, 1, 1], [0, 1, 1, 0], [3.0, 1.0, 2.0, 2.0]
    weighted = agreement_contributions(first, second, 2, weights)
    repeated = agreement_contributions(np.repeat(first, [3, 1, 2, 2]), np.repeat(second, [3, 1, 2, 2]), 2)
    assert weighted.value(kappa_formula) == pytest.approx(repeated.value(kappa_formula))
    assert weighted.value(agreement_formula) == 5 / 8


@pytest.mark.parametrize(
    ("first", "second", "codes", "problem"),
    [
        (["A", "C"], ["A", "B"], ("A", "B"), "first rater: item 1 is 'C', wanted one of A, B"),
        (["A"], ["A", "B"], ("A", "B"), "1 first, 2 second"),
        ([], [], ("A", "B"), "no items"),
        (["A", "A"], ["A", "A"], ("A",), "1 codes"),
    ],
)
def test_what_cannot_be_compared(first: list[str], second: list[str], codes: tuple[str, ...], problem: str) -> None:
    with pytest.raises(MetricError, match=problem):
        compare_raters(first, second, codes)


@pytest.mark.parametrize(("n", "upper"), [(300, 0.0126), (500, 0.0076), (1000, 0.0038)])
def test_no_error_in_a_sample_is_no_proof_that_there_is_none(n: int, upper: float) -> None:
    low, high = wilson(0, n)
    assert low == 0
    assert high == pytest.approx(upper, abs=5e-5)


@pytest.mark.parametrize(("errors", "n", "low", "high"), [(6, 300, 0.009, 0.043), (10, 500, 0.011, 0.036)])
def test_wilson_at_two_percent(errors: int, n: int, low: float, high: float) -> None:
    assert wilson(errors, n) == pytest.approx((low, high), abs=5e-4)


def test_wilson_refuses_what_is_no_share() -> None:
    with pytest.raises(MetricError, match="5 of 4"):
        wilson(5, 4)
