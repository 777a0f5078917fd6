"""What must not change a result, and what must."""

import numpy as np
import pytest
from drawn_corpora import corpus, pair, speakers

from serxbench.errors import MetricError
from serxbench.metrics import Selection, contributions, mean_contributions
from serxbench.metrics.totals import Contributions
from serxbench.statistics import ITEMS, Inference, Unit, default_unit, interval, paired_test

QUICK = Inference(n_resamples=500)


def test_identical_systems_differ_by_nothing():
    first, _ = pair(np.random.default_rng(1), 300)
    for unit in (ITEMS, speakers(np.random.default_rng(2), 300, 20)):
        found = paired_test(first, first, unit=unit, how=QUICK)
        assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)
        assert paired_test(first, first, unit=unit, how=Inference(test="delta")).p == 1


@pytest.mark.parametrize("method", ["percentile", "bca", "delta", "jackknife", "studentized"])
@pytest.mark.parametrize("clustered", [False, True])
def test_exchanging_the_systems_changes_the_sign_and_nothing_else(method, clustered):
    rng = np.random.default_rng(3)
    first, second = pair(rng, 300)
    unit = speakers(rng, 300, 25) if clustered else ITEMS
    how = Inference(method=method, n_resamples=500)
    one, other = paired_test(first, second, unit=unit, how=how), paired_test(second, first, unit=unit, how=how)
    assert one.difference == -other.difference
    assert (one.low, one.high) == (-other.high, -other.low)
    assert one.p == other.p


@pytest.mark.parametrize("variant", ["mv", "credited_fn_split"])
def test_the_order_of_the_items_does_not_matter(variant):
    rng = np.random.default_rng(4)
    selection, answers = corpus(rng, 300)
    unit = Unit.of("speaker", [f"s{k}" for k in rng.integers(0, 20, 300)])
    order = rng.permutation(300)
    shuffled = Selection.of(selection.labels[order], 6, union=selection.union[order, :-1])
    moved = Unit(name="speaker", clusters=unit.clusters[order])
    for here, there in ((ITEMS, ITEMS), (unit, moved)):
        one = paired_test(*(contributions(selection, a, variant) for a in answers), unit=here, how=QUICK)
        other = paired_test(*(contributions(shuffled, a[order], variant) for a in answers), unit=there, how=QUICK)
        assert one == other
        one = interval(contributions(selection, answers[0], variant), unit=here, how=QUICK)
        assert one == interval(contributions(shuffled, answers[0][order], variant), unit=there, how=QUICK)


def test_codes_that_stand_for_the_same_row_do_not_matter():
    system, _ = pair(np.random.default_rng(5), 300)
    doubled = Contributions(
        codes=system.codes + len(system.rows) * (np.arange(300) % 2),
        rows=np.vstack([system.rows, system.rows]),
        formula=system.formula,
        support=system.support,
        names=system.names,
        fingerprint=system.fingerprint,
    )
    assert interval(system, how=QUICK) == interval(doubled, how=QUICK)


def test_names_of_the_speakers_do_not_matter():
    rng = np.random.default_rng(6)
    system, _ = pair(rng, 200)
    clusters = rng.integers(0, 12, 200)
    one, other = (Unit.of("speaker", [f"{prefix}{c:02}" for c in clusters]) for prefix in ("a", "b"))
    assert interval(system, unit=one, how=QUICK) == interval(system, unit=other, how=QUICK)


def test_the_seed_decides():
    first, second = pair(np.random.default_rng(7), 300)
    for seed in (0, 1):
        how = Inference(n_resamples=500, seed=seed)
        assert interval(first, how=how) == interval(first, how=how)
        assert paired_test(first, second, how=how) == paired_test(first, second, how=how)
    other = Inference(n_resamples=500, seed=1)
    assert interval(first, how=QUICK).low != interval(first, how=other).low


def test_more_resamples_begin_with_the_same_ones():
    first, second = pair(np.random.default_rng(8), 300)
    full = paired_test(first, second, how=Inference(n_resamples=3000, stop_above=None))
    early = paired_test(first, second, how=Inference(n_resamples=3000, stop_above=1e-9))
    assert early.n_resamples == 1000
    assert paired_test(first, second, how=Inference(n_resamples=1000)).p == early.p
    assert full.n_resamples == 3000


def test_sequential_stopping_keeps_small_p():
    rng = np.random.default_rng(9)
    selection, (first, _) = corpus(rng, 400)
    worse = np.where(rng.random(400) < 0.4, 6, first)
    systems = [contributions(selection, answers, "mv") for answers in (first, worse)]
    found = paired_test(*systems, how=Inference(stop_above=0.2))
    assert found.n_resamples == 10_000
    assert found.p == pytest.approx(1 / 10_001)


def test_cautions_are_data():
    rng = np.random.default_rng(10)
    system, _ = pair(rng, 300)
    kinds = {caution.kind: caution.text for caution in interval(system, how=QUICK).cautions}
    assert set(kinds) == {"small_class", "items_resampled"}
    few = Unit(name="speaker", clusters=np.minimum(np.arange(300) // 8, 19))
    kinds = {caution.kind: caution.text for caution in interval(system, unit=few, how=QUICK).cautions}
    assert set(kinds) == {"small_class", "few_clusters", "dominant_cluster"}
    assert "20 speakers" in kinds["few_clusters"]
    assert "49%" in kinds["dominant_cluster"]
    large, _ = pair(rng, 3000)
    calm = Unit(name="speaker", clusters=np.arange(3000) % 60)
    assert interval(large, unit=calm, how=QUICK).cautions == ()


def test_design_effect_sees_speakers_that_differ():
    rng = np.random.default_rng(11)
    good = rng.random(60) < 0.5
    clusters = np.repeat(np.arange(60), 20)
    labels = rng.integers(0, 3, 1200)
    answers = np.where(rng.random(1200) < np.where(good[clusters], 0.9, 0.2), labels, 3)
    system = contributions(Selection.of(labels, 3), answers, "mv")
    found = interval(system, unit=Unit(name="speaker", clusters=clusters), how=QUICK)
    assert found.design_effect > 4
    assert found.n_clusters == 60
    assert interval(system, how=QUICK).design_effect is None
    assert found.high - found.low > 1.8 * (interval(system, how=QUICK).high - interval(system, how=QUICK).low)


def test_different_items_or_references_are_refused():
    rng = np.random.default_rng(12)
    selection, answers = corpus(rng, 100)
    first = contributions(selection, answers[0], "mv")
    fewer = contributions(Selection.of(selection.labels[:99], 6), answers[1][:99], "mv")
    relabelled = contributions(Selection.of((selection.labels + 1) % 6, 6), answers[1], "mv")
    for other in (fewer, relabelled):
        with pytest.raises(MetricError, match="different items or references"):
            paired_test(first, other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Inference(method="wald"), "method 'wald'"),
        (lambda: Inference(test="mcnemar"), "test 'mcnemar'"),
        (lambda: Inference(level=95), "level 95"),
        (lambda: Inference(n_resamples=10), "100 or more"),
        (lambda: Unit.of("speaker", ["a", None]), "1 of 2 items have no speaker id"),
        (lambda: interval(mean_contributions(np.array([0.5]))), "one item only"),
        (
            lambda: interval(mean_contributions(np.array([0.5, 0.25])), unit=Unit.of("speaker", ["a", "a"])),
            "one speaker only",
        ),
        (
            lambda: interval(mean_contributions(np.array([0.5, 0.25])), unit=Unit.of("speaker", ["a", "b", "c"])),
            "2 items, 3 clusters",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(MetricError, match=message):
        make()


def test_default_unit_prefers_speakers_and_never_guesses():
    assert default_unit(["a", "b"], ["x", "x"]).name == "speaker"
    assert default_unit(["a", None], ["x", "y"]).name == "group"
    assert default_unit(["a", "a"], []).name == "item"


def test_unit_of_a_selection():
    unit = Unit.of("speaker", ["a", "b", "c", "b"])
    assert unit.take(np.array([1, 3, 2])).clusters.tolist() == [0, 0, 1]
    assert unit.n_clusters == 3
    assert ITEMS.take(np.array([0])) is ITEMS


def test_an_interval_of_a_mean_is_the_t_interval():
    values = np.random.default_rng(13).normal(size=50)
    found = interval(mean_contributions(values), how=Inference(method="delta"))
    half = 2.0095752371292397 * values.std(ddof=1) / np.sqrt(50)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))
