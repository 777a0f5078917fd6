import numpy as np
import pytest
from drawn_corpora import corpus, pair, speakers
from scipy import stats

from serxbench.errors import MetricError, UnknownName
from serxbench.metrics import Selection, contributions
from serxbench.statistics import (
    Design,
    Inference,
    against_baseline,
    all_pairs,
    benjamini_hochberg,
    detectable,
    holm,
    paired_test,
    plan,
)
from serxbench.statistics.blocks import blocks, standard_error
from serxbench.statistics.student import t_cdf, t_quantile
from serxbench.statistics.units import ITEMS

QUICK = Inference(n_resamples=500)


def test_holm_by_hand():
    # sorted .005 .01 .03 .04 → ×4 ×3 ×2 ×1 = .02 .03 .06 .04 → running maximum .02 .03 .06 .06
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_benjamini_hochberg_equals_scipy():
    rng = np.random.default_rng(1)
    for _ in range(50):
        p = rng.random(int(rng.integers(1, 20))) ** 2
        np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))
        assert (holm(p) >= benjamini_hochberg(p) - 1e-12).all()


def test_malformed_p_values_are_refused():
    with pytest.raises(MetricError, match="from 0 to 1"):
        holm([0.5, 1.5])


def systems(rng, n_items=400):
    selection, answers = corpus(rng, n_items)
    named = {"base": answers[0], "other": answers[1], "weak": np.where(rng.random(n_items) < 0.5, 6, answers[0])}
    return {name: contributions(selection, answer, "mv") for name, answer in named.items()}


def test_a_column_is_adjusted_against_its_baseline():
    found = against_baseline(systems(np.random.default_rng(2)), "base", how=QUICK)
    assert set(found) == {"other", "weak"}
    raw = [found[name].test.p for name in ("other", "weak")]
    assert [found[name].p_adjusted for name in ("other", "weak")] == pytest.approx(holm(raw).tolist())
    assert found["weak"].test.difference < 0
    assert {comparison.family_size for comparison in found.values()} == {2}
    assert found["weak"].second == "base"
    with pytest.raises(UnknownName, match="did you mean 'base'"):
        against_baseline(systems(np.random.default_rng(2)), "bases")


def test_all_pairs_and_a_family_of_none():
    named = systems(np.random.default_rng(3))
    found = all_pairs(named, how=QUICK)
    assert set(found) == {("base", "other"), ("base", "weak"), ("other", "weak")}
    expected = benjamini_hochberg([comparison.test.p for comparison in found.values()])
    assert [comparison.p_adjusted for comparison in found.values()] == pytest.approx(expected.tolist())
    assert against_baseline({"base": named["base"]}, "base") == {}


def test_student_equals_scipy():
    for df in (1, 2, 3.5, 7, 19, 29, 99, 464, 46_293, 2e6):
        for p in (0.6, 0.9, 0.95, 0.975, 0.995, 0.9999):
            assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-5)
            assert t_quantile(1 - p, df) == pytest.approx(-stats.t.ppf(p, df), rel=1e-5)
        for value in (-6, -2, -0.1, 0, 0.5, 3):
            assert t_cdf(value, df) == pytest.approx(stats.t.cdf(value, df), abs=1e-7)


def test_detectable_difference_is_found_with_the_stated_power():
    # the difference that a t test on normal data finds with 80 % power is (t + z) standard errors
    rng = np.random.default_rng(4)
    first, second = pair(rng, 2000)
    unit = speakers(rng, 2000, 50)
    found = detectable(first, second, unit=unit)
    assert found.se == pytest.approx(paired_test(first, second, unit=unit, how=QUICK).se)
    assert found.difference == pytest.approx((stats.t.ppf(0.975, 49) + stats.norm.ppf(0.8)) * found.se)
    power = stats.nct.sf(stats.t.ppf(0.975, 49), 49, found.difference / found.se)
    assert power == pytest.approx(0.8, abs=0.01)


def test_plan_gives_the_standard_error_of_corpora_so_drawn():
    shares = np.array([0.5, 0.3, 0.2])
    rng = np.random.default_rng(5)
    n_items, recall, shared = 1500, 0.4, 0.5
    errors = []
    for _ in range(20):
        labels = rng.choice(3, n_items, p=shares)

        def draw(labels=labels):
            others = np.where(np.arange(3) == labels[:, None], 0, shares)
            others = (others / others.sum(axis=1, keepdims=True)).cumsum(axis=1)
            wrong = (rng.random(n_items)[:, None] > others).sum(axis=1)
            return np.where(rng.random(n_items) < recall, labels, wrong)

        one, anew = draw(), draw()
        other = np.where(rng.random(n_items) < shared, one, anew)
        both = tuple(contributions(Selection.of(labels, 3), answers, "mv") for answers in (one, other))
        errors.append(standard_error(blocks(both, ITEMS), both[0].formula))
    found = plan(Design(n_items=n_items, class_shares=shares, recall=recall, shared=shared))
    assert found.se == pytest.approx(np.mean(errors), rel=0.02)


def test_plan_grows_with_speakers_and_shrinks_with_items():
    shares = [485, 200, 120, 70, 50, 35, 28, 12]
    test1 = plan(Design(n_items=46_294, n_speakers=465, class_shares=shares))
    alone = plan(Design(n_items=46_294, class_shares=shares))
    assert test1.design_effect == pytest.approx(1 + (46_294 / 465 * 2 - 1) * 0.01)
    assert test1.difference / alone.difference == pytest.approx(np.sqrt(test1.design_effect), rel=0.01)
    assert 0.012 < test1.difference < 0.017
    assert plan(Design(n_items=1000, class_shares=shares)).difference > 2 * alone.difference


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"class_shares": [1.0]}, "two numbers or more"),
        ({"class_shares": [1.0, -1.0]}, "none negative"),
        ({"n_items": 1}, "two items"),
        ({"n_speakers": 1001}, "more speakers than items"),
        ({"recall": 40}, "recall 40"),
    ],
)
def test_a_design_that_cannot_be_is_refused(more, message):
    with pytest.raises(MetricError, match=message):
        plan(Design(**{"n_items": 1000, "class_shares": [0.5, 0.5], **more}))


def test_power_and_alpha_are_checked():
    with pytest.raises(MetricError, match="alpha < power"):
        plan(Design(n_items=1000, class_shares=[0.5, 0.5]), power=80)
