"""Win rates by hand, against other libraries, and on simulated verdicts (a small version of benchmarks/judge.py)."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from serxbench.errors import MetricError
from serxbench.statistics.bradley_terry import bradley_terry
from serxbench.statistics.judge_glm import judge_model
from serxbench.statistics.judge_validity import corrected_rate
from serxbench.statistics.logistic import fit_logistic, sigmoid
from serxbench.statistics.pairwise import Rate, Verdicts, order_effects, win_rate

PATH = Path(__file__).parents[2] / "benchmarks" / "judge.py"
NAN = float("nan")


def verdicts(scores, strata=None, names=("Sad",), first=None):
    scores = np.asarray(scores, dtype=float)
    first = np.tile([1.0, 0.0][: scores.shape[1]], (len(scores), 1)) if first is None else np.asarray(first, float)
    strata = np.zeros(len(scores), int) if strata is None else np.asarray(strata)
    return Verdicts(scores=scores, first=first, strata=strata, names=names)


@pytest.fixture(scope="module")
def simulated():
    spec = importlib.util.spec_from_file_location("judge_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["judge_benchmark"] = module
    spec.loader.exec_module(module)
    return module


def test_scores_weights_and_counts_by_hand():
    # Sad: scores 1, ½; Fear: ¾, 0, 0 → equal weights: (0.75 + 0.25) / 2; by items 2/5 · 0.75 + 3/5 · 0.25
    found = verdicts([[1, 1], [1, 0], [1, 0.5], [0, 0], [0, 0]], [0, 0, 1, 1, 1], ("Sad", "Fear", "Joy"))
    equal = win_rate(found)
    assert (equal.value, equal.n, equal.n_incomplete) == (0.5, 5, 0)
    assert (equal.wins, equal.ties, equal.losses, equal.halves) == (1, 1, 2, 1)
    assert equal.weights == {"Sad": 0.5, "Fear": 0.5}
    assert equal.win_share + equal.tie_share / 2 == pytest.approx(equal.value)
    assert win_rate(found, [2, 3, 7]).value == pytest.approx(0.45)


def test_missing_verdicts_are_left_out_counted_and_bounded():
    # complete: 1, 0 → 0.5. With the missing ones as losses (1 + 0 + ½ + 0) / 4, as wins (1 + 0 + 1 + 1) / 4
    found = win_rate(verdicts([[1, 1], [0, 0], [1, NAN], [NAN, NAN]]))
    assert (found.value, found.n, found.n_incomplete, found.worst, found.best) == (0.5, 2, 2, 0.375, 0.75)
    with pytest.raises(MetricError, match="no item has all its verdicts"):
        win_rate(verdicts([[1, NAN]]))


def test_an_emotion_whose_verdicts_all_failed_weighs_nothing_but_in_the_bounds():
    found = win_rate(verdicts([[1, 1], [1, 1], [NAN, 1]], [0, 0, 1], ("Sad", "Fear")))
    assert (found.value, found.weights) == (1.0, {"Sad": 1.0})
    assert (found.worst, found.best) == (0.75, 1.0)


def test_wilson_where_it_applies_and_the_stratified_interval_elsewhere():
    rng = np.random.default_rng(0)
    decisive = np.repeat((rng.random(400) < 0.79).astype(float)[:, None], 2, axis=1)
    one = win_rate(verdicts(decisive))
    both = stats.binomtest(int(decisive[:, 0].sum()), 400).proportion_ci(method="wilson")
    assert (one.method, one.low, one.high) == ("wilson", pytest.approx(both.low), pytest.approx(both.high))
    mixed = win_rate(verdicts((rng.random((400, 2)) < 0.7).astype(float), np.arange(400) % 8, tuple("abcdefgh")))
    assert mixed.method == "stratified"
    assert mixed.high - mixed.low == pytest.approx(2 * stats.t.ppf(0.975, 392) * mixed.se)
    assert win_rate(verdicts((rng.random((40, 2)) < 0.7).astype(float))).method == "wilson"


def test_what_the_order_did_by_hand():
    # first system's scores shown first, second: agree, first position twice, second position twice, tie + win, tie +
    # tie
    found = order_effects(verdicts([[1, 1], [1, 0], [0, 1], [0.5, 1], [0.5, 0.5]]))
    # decisive verdicts: item 1 wins at 1 and 2 (one for the first text), item 2 twice first, item 3 never, item 4
    # second
    assert found.first_position.value == pytest.approx(3 / 7)
    assert (found.flips.value, found.wavering.value, found.ties.value) == (0.4, 0.2, 0.3)
    once = order_effects(verdicts([[1], [0]], first=[[1], [0]]))
    assert (once.flips, once.first_position.value) == (None, 1.0)
    assert order_effects(verdicts([[0.5, 0.5]])).first_position is None


def test_bad_input_is_named():
    with pytest.raises(MetricError, match=r"1, 0\.5 or 0"):
        verdicts([[0.7, 1]])
    with pytest.raises(MetricError, match="items × orders"):
        verdicts([[1, 1]], strata=[0, 1])
    with pytest.raises(MetricError, match="one for each of 1 emotions"):
        win_rate(verdicts([[1, 1]]), [0.5, 0.5])


def test_the_fit_equals_scikit_learn_and_the_sandwich_its_definition():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(3)
    design = np.column_stack([np.ones(300), rng.normal(size=(300, 2))])
    won = (rng.random(300) < sigmoid(design @ [0.3, 1.0, -0.5])).astype(float)
    items = np.repeat(np.arange(100), 3)
    fit = fit_logistic(design, won, items, np.array([0.0, 2.0, 2.0]))
    other = linear_model.LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000).fit(design[:, 1:], won)
    np.testing.assert_allclose(fit.coefficients, [*other.intercept_, *other.coef_[0]], atol=1e-6)
    p = sigmoid(design @ fit.coefficients)
    bread = np.linalg.inv(design.T @ np.diag(p * (1 - p)) @ design + np.diag([0, 2, 2]))
    meat = sum(np.outer(s, s) for s in ((design * (won - p)[:, None])[items == g].sum(axis=0) for g in range(100)))
    np.testing.assert_allclose(fit.covariance, bread @ meat @ bread * 100 / 99, rtol=1e-8)


def test_a_judge_that_sees_only_position_or_only_length():
    for scores, words in (
        ([1, 0], "same position"),
        ([0, 1], "same position"),
        ([1, 1], "same system"),
        ([0.5] * 2, "tie"),
    ):
        with pytest.raises(MetricError, match=words):
            judge_model(verdicts([scores] * 60), [0] * 60)
    nearly = judge_model(verdicts([[1, 0]] * 58 + [[1, 1], [0, 0]]), [0] * 60)
    assert nearly.position.low > 2
    assert nearly.win_rate.low < 0.5 < nearly.win_rate.high
    assert (nearly.win_rate.value, nearly.length) == (pytest.approx(0.5), None)
    longer = np.where(np.arange(200) % 2, 300.0, -200.0)
    noisy = (longer[:, None] > 0) ^ (np.arange(400).reshape(200, 2) % 10 < 2)
    by_length = judge_model(verdicts(noisy.astype(float)), longer)
    assert by_length.length.low > 1
    assert by_length.win_rate_equal_length.low < 0.5 < by_length.win_rate_equal_length.high


def test_one_fixed_position_is_refused():
    with pytest.raises(MetricError, match="one position only"):
        judge_model(verdicts([[1], [0], [1]], first=[[1]] * 3), [1, 2, 3])


def test_an_emotion_without_a_loss_stays_finite():
    scores = [[1, 1]] * 15 + [[1, 0], [0, 1], [1, 1]] * 5
    model = judge_model(verdicts(scores, np.arange(30) // 15, ("Sad", "Fear")), np.arange(30) - 15.0)
    assert model.by_emotion["Sad"].value > model.by_emotion["Fear"].value
    assert all(np.isfinite([each.value, each.low, each.high]).all() for each in model.by_emotion.values())


def test_exchanging_the_systems_turns_every_number_round():
    rng = np.random.default_rng(8)
    scores, delta, strata = rng.choice([0, 0.5, 1], (120, 2)), rng.normal(size=120), np.arange(120) % 3
    one = verdicts(scores, strata, ("x", "y", "z"))
    other = verdicts(1 - scores, strata, ("x", "y", "z"), first=np.tile([0.0, 1.0], (120, 1)))
    assert win_rate(other).value == pytest.approx(1 - win_rate(one).value)
    assert win_rate(other).low == pytest.approx(1 - win_rate(one).high)
    assert order_effects(other).first_position == order_effects(one).first_position
    first, second = judge_model(one, delta), judge_model(other, -delta)
    assert second.position.value == pytest.approx(first.position.value)
    assert second.length.value == pytest.approx(first.length.value)
    assert second.win_rate.high == pytest.approx(1 - first.win_rate.low)


def test_strengths_reproduce_a_matrix_that_fits_them():
    true = np.array([1.0, 0.0, -1.0])
    pairs = np.array([(a, b) for a in range(3) for b in range(3) if a != b])
    first, second, items = np.tile(pairs.T, 50)[0], np.tile(pairs.T, 50)[1], np.repeat(np.arange(50), 6)
    found = bradley_terry("xyz", first, second, sigmoid(0.4 + true[first] - true[second]), items)
    np.testing.assert_allclose([each.value for each in found.strengths], true, atol=1e-4)
    assert found.position == pytest.approx(0.4, abs=1e-4)
    assert [(each.rank_best, each.rank_worst) for each in found.strengths] == [(1, 1), (2, 2), (3, 3)]
    assert found.cycles == ()


def test_cycles_undefeated_systems_and_unconnected_ones():
    first, second, items = np.array([0, 1, 2] * 4), np.array([1, 2, 0] * 4), np.repeat(np.arange(4), 3)
    found = bradley_terry("xyz", first, second, np.ones(12), items)
    assert found.cycles == (("x", "y", "z"),)
    first, second, won = (np.array(each * 5) for each in ([0, 1, 1, 0], [1, 0, 2, 2], [1.0, 0.0, 1.0, 1.0]))
    always = bradley_terry("xyz", first, second, won, np.repeat(np.arange(5), 4))
    assert [each.extreme for each in always.strengths] == [True, False, True]
    assert all(np.isfinite(each.value) for each in always.strengths)
    with pytest.raises(MetricError, match=r"groups of systems with one another: w, x \| y, z"):
        bradley_terry("wxyz", np.array([0, 2]), np.array([1, 3]), np.ones(2), np.arange(2))
    with pytest.raises(MetricError, match="three or more"):
        bradley_terry("xy", np.array([0]), np.array([1]), np.ones(1), np.arange(1))


def test_correction_by_peoples_votes():
    rate = Rate(value=0.7, low=0.6, high=0.8, se=0.0229, level=0.95, method="stratified", n=400)
    # q₁ = .9, q₀ = .8: θ = (.7 + .8 − 1) / .7; an item without a preference changes nothing
    judge, people = [1] * 45 + [0] * 5 + [1] * 10 + [0] * 40 + [0.5], [1] * 50 + [0] * 50 + [0.5]
    found = corrected_rate(rate, judge, people)
    assert (found.value, found.n_first, found.n_second) == (pytest.approx(0.5 / 0.7), 50, 50)
    assert found.low < rate.low
    with pytest.raises(MetricError, match="too little for a correction"):
        corrected_rate(rate, [1, 0, 1, 0], [1, 1, 0, 0])
    with pytest.raises(MetricError, match="preferred the first system on 3 pairs and the second on 0"):
        corrected_rate(rate, [1, 1, 1], [1, 1, 1])


def test_corrected_rates_cover_the_truth():
    held = 0
    for n in range(200):
        rng = np.random.default_rng([5, n])
        people = (rng.random(600) < 0.6).astype(float)
        judge = np.where(rng.random(600) < np.where(people == 1, 0.85, 0.75), people, 1 - people)
        rate = win_rate(verdicts(judge[:400, None], first=np.ones((400, 1))))
        found = corrected_rate(rate, judge[400:], people[400:])
        held += found.low <= 0.6 <= found.high
    assert 0.91 < held / 200 < 0.99


def test_planted_effects_lie_in_their_intervals(simulated):
    found = simulated.coverage(simulated.Planted(), simulations=300, seed=0)
    assert all(0.93 <= share <= 0.97 for _, _, share in found.values()), found


def test_a_bias_of_one_logit_moves_both_orders_little_and_one_order_much(simulated):
    truth, rates, models, fixed, _ = simulated.differing_items(1.0, simulations=100, seed=0)
    assert abs(rates.mean() - truth) < 0.03
    assert abs(models.mean() - truth) < 0.01
    assert fixed.mean() - truth > 0.10


def test_errors_clustered_by_item_cover_where_others_do_not(simulated):
    clustered, independent, *_ = simulated.four_systems(simulations=60, seed=0)
    assert clustered > 0.90 > independent
