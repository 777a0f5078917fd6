"""The engine is exact: what it does in blocks has the distribution of what others do item by item."""

import itertools

import numpy as np
import pytest
from drawn_corpora import corpus, pair, sklearn_macro_f1, speakers
from scipy import stats

from serxbench.metrics import FORMULAS, VARIANTS, Selection, alpha_contributions, contributions
from serxbench.metrics.totals import macro_f1
from serxbench.statistics import ITEMS, Inference, Unit, interval, paired_test
from serxbench.statistics.blocks import (
    acceleration,
    blocks,
    bootstrap_totals,
    influence,
    permuted_pairs,
    score,
    standard_error,
)


def drawn_by_blocks(systems, unit, n_resamples, seed):
    found = blocks(systems, unit)
    totals = bootstrap_totals(found, n_resamples, np.random.default_rng(seed))
    return np.concatenate([score(found, macro_f1, part) for part in totals])


def rows_of(system):
    return system.rows[system.codes]


@pytest.mark.parametrize("variant", ["mv", "credited_reference"])
def test_bootstrap_in_blocks_has_the_distribution_of_the_item_bootstrap(variant):
    # Kolmogorov-Smirnov over 24 seeds: none tiny, and together they look uniform.
    p_values = []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        (system,) = pair(rng, 300, variant)[:1]
        rows = rows_of(system)
        by_item = [macro_f1(rows[rng.integers(0, 300, 300)].sum(axis=0)) for _ in range(1500)]
        p_values.append(stats.ks_2samp(by_item, drawn_by_blocks((system,), ITEMS, 1500, seed)).pvalue)
    assert min(p_values) > 0.05 / 24
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_bootstrap_of_a_difference_and_of_speakers_has_the_distribution_of_the_plain_one():
    p_values = []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        systems, unit = pair(rng, 300), speakers(rng, 300, 25)
        clusters = np.unique(unit.clusters)
        members = [np.flatnonzero(unit.clusters == c) for c in clusters]
        first, second = map(rows_of, systems)
        plain = []
        for _ in range(1000):
            items = np.concatenate([members[c] for c in rng.integers(0, len(clusters), len(clusters))])
            plain.append(macro_f1(first[items].sum(axis=0)) - macro_f1(second[items].sum(axis=0)))
        p_values.append(stats.ks_2samp(plain, drawn_by_blocks(systems, unit, 1000, seed)).pvalue)
    assert min(p_values) > 0.05 / 24
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def enumerate_swaps(first, second, clusters):
    """Differences under all 2^G swaps, one by one, with scikit-learn's own macro-F1 semantics in totals."""
    units = [np.flatnonzero(clusters == c) for c in np.unique(clusters)]
    for swaps in itertools.product([False, True], repeat=len(units)):
        a, b = first.copy(), second.copy()
        for swap, items in zip(swaps, units, strict=True):
            if swap:
                a[items], b[items] = second[items], first[items]
        yield float(macro_f1(a.sum(axis=0)) - macro_f1(b.sum(axis=0)))


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("variant", ["mv", "credited_reference", "multilabel"])
def test_permutations_equal_the_full_enumeration_of_64_swaps(variant, clustered):
    rng = np.random.default_rng(7)
    n_items = 18 if clustered else 6
    systems = pair(rng, n_items, variant, n_classes=3)
    clusters = np.arange(n_items) % 6
    unit = Unit(name="speaker", clusters=clusters) if clustered else ITEMS
    exact = np.round(list(enumerate_swaps(*map(rows_of, systems), clusters)), 9)
    values, weights = np.unique(exact, return_counts=True)
    n = 64_000
    found = blocks(systems, unit)
    drawn = np.concatenate([macro_f1(a) - macro_f1(b) for a, b in permuted_pairs(found, n, np.random.default_rng(1))])
    seen = np.searchsorted(values, np.round(drawn, 9))
    np.testing.assert_allclose(values[np.minimum(seen, len(values) - 1)], drawn, atol=1e-8)
    counts = np.bincount(seen, minlength=len(values))
    assert stats.chisquare(counts, weights / 64 * n).pvalue > 0.001
    observed = abs(systems[0].value() - systems[1].value())
    p_exact = (np.abs(exact) >= observed - 1e-8).mean()
    p = paired_test(*systems, unit=unit, how=Inference(n_resamples=n)).p
    assert p == pytest.approx(p_exact, abs=4 * np.sqrt(p_exact * (1 - p_exact) / n) + 1e-4)


def test_clusters_of_size_one_are_items():
    systems = pair(np.random.default_rng(3), 400)
    single = Unit(name="speaker", clusters=np.random.default_rng(4).permutation(400))
    for method in ("percentile", "bca", "delta", "jackknife", "studentized"):
        how = Inference(method=method, n_resamples=500)
        one, other = (interval(systems[0], unit=unit, how=how) for unit in (ITEMS, single))
        assert (one.low, one.high, one.se) == (other.low, other.high, other.se)
        assert other.design_effect == pytest.approx(1.0)
    how = Inference(method="percentile", n_resamples=500)
    one, other = (paired_test(*systems, unit=unit, how=how) for unit in (ITEMS, single))
    assert (one.difference, one.low, one.high, one.p) == (other.difference, other.low, other.high, other.p)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_delta_and_bootstrap_standard_errors_agree_at_5000_items(variant):
    rng = np.random.default_rng(11)
    selection, answers = corpus(rng, 5000)
    votes = np.column_stack([selection.union[:, :-1] * 2, np.zeros(5000, int)])
    votes[np.arange(5000), selection.labels] += 2
    selection = Selection.of(selection.labels, 6, votes=votes)
    system = contributions(selection, answers[0], variant)
    found = blocks((system,), ITEMS)
    drawn = np.concatenate([system.formula(part) for part in bootstrap_totals(found, 8000, np.random.default_rng(5))])
    assert standard_error(found, system.formula) == pytest.approx(drawn.std(), rel=0.03)


def test_delta_and_bootstrap_agree_for_differences_speakers_and_alpha():
    rng = np.random.default_rng(12)
    systems, unit = pair(rng, 5000), speakers(rng, 5000, 300)
    for found, formula in (
        (blocks(systems, ITEMS), macro_f1),
        (blocks(systems[:1], unit), FORMULAS["uar"]),
        (blocks(systems, unit), FORMULAS["weighted_f1"]),
    ):
        totals = bootstrap_totals(found, 8000, np.random.default_rng(6))
        drawn = np.concatenate([score(found, formula, part) for part in totals])
        assert standard_error(found, formula) == pytest.approx(drawn.std(), rel=0.03)
    alpha = alpha_contributions(rng.multinomial(5, [0.5, 0.3, 0.2], 3000))
    found = blocks((alpha,), ITEMS)
    drawn = np.concatenate([alpha.formula(part) for part in bootstrap_totals(found, 8000, rng)])
    assert standard_error(found, alpha.formula) == pytest.approx(drawn.std(), rel=0.03)


def test_influence_is_the_published_formula():
    # ψ_i = (N / C) Σ_c (2 tp_ic − F1_c d_ic) / D_c, and for single labels it is the multinomial delta method
    system = pair(np.random.default_rng(13), 700)[0]
    found = blocks((system,), ITEMS)
    tp, ref, ans = (found.rows[:, k * 6 : (k + 1) * 6] for k in range(3))
    d = ref + ans
    sums, mass = found.sizes @ tp, found.sizes @ d
    psi = ((2 * tp - 2 * sums / mass * d) / mass).sum(axis=1) / 6
    np.testing.assert_allclose(influence(found, macro_f1), psi, atol=1e-9)
    n = found.n_units
    expected = np.sqrt(n / (n - 1) * (found.sizes * psi**2).sum())
    assert standard_error(found, macro_f1) == pytest.approx(expected, rel=1e-6)


def test_sandwich_is_the_published_formula():
    rng = np.random.default_rng(14)
    system, unit = pair(rng, 900)[0], speakers(rng, 900, 40)
    item = blocks((system,), ITEMS)
    psi_of = {tuple(row): value for row, value in zip(item.rows.tolist(), influence(item, macro_f1), strict=True)}
    psi = np.array([psi_of[tuple(row)] for row in rows_of(system).tolist()])
    u = np.bincount(unit.clusters, psi)
    n_clusters = unit.n_clusters
    u = u[np.bincount(unit.clusters) > 0]
    expected = np.sqrt(n_clusters / (n_clusters - 1) * (u**2).sum())
    assert standard_error(blocks((system,), unit), macro_f1) == pytest.approx(expected, rel=1e-5)


def test_acceleration_is_the_jackknifes():
    system = pair(np.random.default_rng(15), 80)[0]
    rows = rows_of(system)
    left_out = np.array([macro_f1(rows.sum(axis=0) - row) for row in rows])
    u = left_out.mean() - left_out
    expected = (u**3).sum() / (6 * (u**2).sum() ** 1.5)
    assert acceleration(blocks((system,), ITEMS), macro_f1) == pytest.approx(expected)


def test_bca_agrees_with_scipy():
    rng = np.random.default_rng(16)
    selection, answers = corpus(rng, 150, n_classes=3)
    system = contributions(selection, answers[0], "mv")
    rows = rows_of(system)
    rival = stats.bootstrap(
        (np.arange(150),),
        lambda index: macro_f1(rows[index.astype(int)].sum(axis=0)),
        vectorized=False,
        n_resamples=4000,
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    found = interval(system, how=Inference(method="bca", n_resamples=20_000))
    assert (found.low, found.high) == pytest.approx((rival.low, rival.high), abs=0.006)


def test_jackknife_leaves_out_one_unit_at_a_time():
    rng = np.random.default_rng(18)
    system, unit = pair(rng, 200)[0], speakers(rng, 200, 12)
    rows = rows_of(system)
    for clusters, chosen in ((np.arange(200), ITEMS), (unit.clusters, unit)):
        names = np.unique(clusters)
        left_out = np.array([macro_f1(rows[clusters != name].sum(axis=0)) for name in names])
        n = len(names)
        se = np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
        found = interval(system, unit=chosen, how=Inference(method="jackknife"))
        half = stats.t.ppf(0.975, n - 1) * se
        assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))


def test_studentized_interval_is_the_bootstrap_t_of_single_items():
    rng = np.random.default_rng(19)
    system = pair(rng, 150, n_classes=3)[0]
    rows = rows_of(system)
    value, se = system.value(), standard_error(blocks((system,), ITEMS), macro_f1)
    ratios = []
    for _ in range(4000):
        chosen = rows[rng.integers(0, 150, 150)]
        totals = chosen.sum(axis=0)
        f1, mass = 2 * totals[:3] / (totals[3:6] + totals[6:9]), totals[3:6] + totals[6:9]
        psi = ((2 * chosen[:, :3] - f1 * (chosen[:, 3:6] + chosen[:, 6:9])) / mass).sum(axis=1) / 3
        ratios.append((f1.mean() - value) / np.sqrt(150 / 149 * (psi**2).sum()))
    low, high = np.quantile(ratios, [0.025, 0.975])
    found = interval(system, how=Inference(method="studentized", n_resamples=20_000))
    assert (found.low, found.high) == pytest.approx((value - high * se, value - low * se), abs=0.006)


def test_auto_is_the_method_that_covers():
    rng = np.random.default_rng(20)
    large, small = pair(rng, 3000), pair(rng, 300)
    many, few = (Unit(name="speaker", clusters=np.arange(3000) % n) for n in (500, 100))
    how = Inference(n_resamples=200)
    assert interval(large[0], how=how).method == "percentile"
    assert interval(small[0], how=how).method == "studentized"
    assert interval(large[0], unit=many, how=how).method == "jackknife"
    assert interval(large[0], unit=few, how=how).method == "studentized"
    assert paired_test(*large, unit=many, how=how).method == "jackknife"
    assert paired_test(*large, unit=few, how=how).method == "jackknife"
    assert paired_test(*small, how=how).method == "percentile"
    assert interval(large[0], unit=few, how=Inference(method="delta")).n_resamples is None


def test_point_value_is_scikit_learns():
    selection, answers = corpus(np.random.default_rng(17), 500)
    found = interval(contributions(selection, answers[0], "mv"), how=Inference(n_resamples=100))
    assert found.value == pytest.approx(sklearn_macro_f1(selection.labels, answers[0], 6))
