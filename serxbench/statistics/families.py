"""Many comparisons: Holm inside one table column against one declared system, Benjamini-Hochberg for all pairs.

With 8 independent true null hypotheses at 0.05 the chance of at least one false star is 34 %, with 32 it is 81 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from serxbench.errors import MetricError, UnknownName
from serxbench.metrics.arrays import Reals
from serxbench.metrics.totals import Contributions, Formula
from serxbench.statistics.limits import DEFAULT, Inference
from serxbench.statistics.paired import PairedTest, paired_test
from serxbench.statistics.units import ITEMS, Unit


def _probabilities(values: ArrayLike) -> Reals:
    p = np.asarray(values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise MetricError(f"p values {p.tolist()}: wanted a list of numbers from 0 to 1")
    return p


def holm(p_values: ArrayLike) -> Reals:
    """Holm's adjusted p values, in the given order: the running maximum of p_(j) (m − j + 1), at most 1.

    Rejecting where the adjusted p is ≤ 0.05 keeps the chance of any false rejection at 5 %.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = _probabilities(p_values)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> Reals:
    """Benjamini and Hochberg's adjusted p values, in the given order: the running minimum from the top of p_(j) m / j.

    Rejecting where the adjusted p is ≤ 0.05 keeps the expected share of false rejections at 5 %: exploratory.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.04, 0.04]
    """
    p = _probabilities(p_values)
    order = np.argsort(p, kind="stable")[::-1]
    steps = np.minimum.accumulate(p[order] * len(p) / np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One comparison of a family. family_size: how many p values were adjusted together, by `adjustment`."""

    first: str
    second: str
    test: PairedTest
    p_adjusted: float
    adjustment: str
    family_size: int


def against_baseline(
    systems: Mapping[str, Contributions],
    baseline: str,
    formula: Formula | None = None,
    *,
    unit: Unit = ITEMS,
    how: Inference = DEFAULT,
) -> dict[str, Comparison]:
    """Every other system minus `baseline`, Holm-adjusted: one column of a table. Keys are the other systems' names."""
    if baseline not in systems:
        raise UnknownName("system", baseline, systems)
    pairs = [(name, baseline) for name in systems if name != baseline]
    return {found.first: found for found in _family(systems, pairs, "holm", formula, unit=unit, how=how)}


def all_pairs(
    systems: Mapping[str, Contributions],
    formula: Formula | None = None,
    *,
    unit: Unit = ITEMS,
    how: Inference = DEFAULT,
) -> dict[tuple[str, str], Comparison]:
    """Every pair of systems, Benjamini-Hochberg-adjusted. Exploratory: label it so where it is printed."""
    found = _family(systems, list(combinations(systems, 2)), "benjamini-hochberg", formula, unit=unit, how=how)
    return {(comparison.first, comparison.second): comparison for comparison in found}


def _family(
    systems: Mapping[str, Contributions],
    pairs: list[tuple[str, str]],
    adjustment: str,
    formula: Formula | None,
    *,
    unit: Unit,
    how: Inference,
) -> list[Comparison]:
    tests = [paired_test(systems[first], systems[second], formula, unit=unit, how=how) for first, second in pairs]
    adjust = {"holm": holm, "benjamini-hochberg": benjamini_hochberg}[adjustment]
    adjusted = adjust([test.p for test in tests])
    return [
        Comparison(
            first=first,
            second=second,
            test=test,
            p_adjusted=float(p),
            adjustment=adjustment,
            family_size=len(tests),
        )
        for (first, second), test, p in zip(pairs, tests, adjusted, strict=True)
    ]
