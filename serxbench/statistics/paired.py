"""Whether two systems differ: paired, on the same items."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from serxbench.metrics.totals import Contributions, Formula
from serxbench.statistics.blocks import Blocks, blocks, permuted_pairs, score, standard_error
from serxbench.statistics.cautions import Caution, cautions
from serxbench.statistics.intervals import design_effect
from serxbench.statistics.limits import DEFAULT, Inference, Method, Test, chosen, limits
from serxbench.statistics.student import t_cdf
from serxbench.statistics.units import ITEMS, Unit


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """The difference first − second, its interval and a two-sided p for "the systems are exchangeable".

    n_resamples: permutations that were used (fewer than asked for after an early stop), None for the t test.
    Other fields as in `Interval`.
    """

    difference: float
    low: float
    high: float
    se: float
    p: float
    test: Test
    level: float
    method: Method
    unit: str
    n: int
    n_clusters: int | None
    design_effect: float | None
    n_resamples: int | None
    seed: int
    cautions: tuple[Caution, ...]


def paired_test(
    first: Contributions,
    second: Contributions,
    formula: Formula | None = None,
    *,
    unit: Unit = ITEMS,
    how: Inference = DEFAULT,
) -> PairedTest:
    """The paired comparison of two systems on the same items.

    permutation: p = (1 + #{|d*| ≥ |d|}) / (B + 1) over B random swaps of the two systems on whole units.
    Exchanging the systems changes the sign and nothing else. Raises MetricError if items or references differ.

    >>> from serxbench.metrics import Selection, contributions
    >>> selection = Selection.of([0, 1] * 100, 2)
    >>> a, b = (contributions(selection, x * 50, "mv") for x in ([0, 1, 0, 1], [0, 1, 1, 1]))
    >>> found = paired_test(a, b, how=Inference(n_resamples=999))
    >>> round(found.difference, 3), found.p
    (0.267, 0.001)
    """
    formula = formula or first.formula
    if second.totals.tolist() < first.totals.tolist():
        return _mirrored(_compare(second, first, formula, unit, how))
    return _compare(first, second, formula, unit, how)


def _compare(first: Contributions, second: Contributions, formula: Formula, unit: Unit, how: Inference) -> PairedTest:
    found = blocks((first, second), unit)
    se = standard_error(found, formula)
    difference = float(score(found, formula, found.totals))
    low, high, method = limits(found, formula, chosen(how.method, (first, second), unit), how)
    if how.test == "permutation":
        p, n_resamples = permutation_p(found, formula, how)
    else:
        p, n_resamples = t_test(difference, se, found.n_units), None
    return PairedTest(
        difference=difference,
        low=low,
        high=high,
        se=se,
        p=p,
        test=how.test,
        level=how.level,
        method=method,
        unit=unit.name,
        n=first.n_items,
        n_clusters=unit.n_clusters,
        design_effect=design_effect((first, second), formula, unit, se),
        n_resamples=n_resamples,
        seed=how.seed,
        cautions=cautions(first, unit),
    )


def _mirrored(test: PairedTest) -> PairedTest:
    return replace(test, difference=-test.difference, low=-test.high, high=-test.low)


def t_test(difference: float, se: float, n_units: int) -> float:
    if se == 0:
        return 1.0 if difference == 0 else 0.0
    return 2 * t_cdf(-abs(difference) / se, n_units - 1)


def permutation_p(found: Blocks, formula: Formula, how: Inference) -> tuple[float, int]:
    """The permutation p of a pair of systems, and the number of permutations it is from."""
    observed = abs(float(score(found, formula, found.totals)))
    rng = np.random.default_rng(how.seed)
    as_large, drawn = 0, 0
    for first, second in permuted_pairs(found, how.n_resamples, rng):
        difference = np.abs(formula(first) - formula(second))
        # a rearrangement of the same answers must count as equal, whatever the last bits of the sums
        as_large += int((difference >= observed - 1e-12).sum())
        drawn += len(difference)
        p = (1 + as_large) / (drawn + 1)
        if how.stop_above is not None and p > how.stop_above:
            break
    return p, drawn
