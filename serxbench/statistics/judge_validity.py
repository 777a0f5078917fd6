"""A judge beside people who voted on some of the same pairs: how far it agrees, and the win rate that its errors hide.

Rogan and Gladen's correction, as for a diagnostic test (Lee et al. 2025, arXiv 2511.21140): with q₁ the judge's mean
score where people prefer the first system, and q₀ one minus its mean score where they prefer the second,

    θ = (p + q₀ − 1) / (q₀ + q₁ − 1),   Var θ ≈ [Var p + (1 − θ)² Var q₀ + θ² Var q₁] / (q₀ + q₁ − 1)²

A judge with q₀ + q₁ − 1 < 0.2 hardly tells one from the other, and no correction is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from serxbench.errors import MetricError
from serxbench.metrics.arrays import Reals
from serxbench.statistics.pairwise import Rate
from serxbench.statistics.student import normal_quantile

LEAST_DISCERNMENT = 0.2


@dataclass(frozen=True, kw_only=True)
class CorrectedRate(Rate):
    """The win rate among pairs on which people have a preference, n of them seen by people.

    for_first, for_second: q₁ and q₀. n_first, n_second: how many pairs they come from.
    """

    for_first: float
    for_second: float
    n_first: int
    n_second: int


def corrected_rate(rate: Rate, scores: ArrayLike, people: ArrayLike) -> CorrectedRate:
    """`rate` (a judge's win rate of the first system) corrected by pairs that people judged too.

    scores: the judge's, of each such pair. people: theirs, 1 for the first system, 0 for the second, ½ for no
    preference, which says nothing of the judge's errors here. Raises MetricError if people preferred one system
    throughout, or the judge does not discern well enough.

    >>> judge = Rate(value=0.7, low=0.65, high=0.75, se=0.025, level=0.95, method="stratified", n=400)
    >>> found = corrected_rate(judge, [1.0] * 90 + [0.0] * 10 + [1.0] * 20 + [0.0] * 80, [1.0] * 100 + [0.0] * 100)
    >>> found.for_first, found.for_second, round(found.value, 4)
    (0.9, 0.8, 0.7143)
    """
    given, votes = np.asarray(scores, dtype=np.float64), np.asarray(people, dtype=np.float64)
    first, second = given[votes == 1], 1 - given[votes == 0]
    q1, q0 = _discerned(first, second)
    discernment = q0 + q1 - 1
    value = (rate.value + q0 - 1) / discernment
    share = min(max(value, 0.0), 1.0)
    variance = rate.se**2 + (1 - share) ** 2 * _variance(second) + share**2 * _variance(first)
    se = math.sqrt(variance) / discernment
    half = normal_quantile((1 + rate.level) / 2) * se
    return CorrectedRate(
        value=share,
        low=max(value - half, 0.0),
        high=min(value + half, 1.0),
        se=se,
        level=rate.level,
        method="Rogan-Gladen",
        n=len(given),
        for_first=q1,
        for_second=q0,
        n_first=len(first),
        n_second=len(second),
    )


def _discerned(first: Reals, second: Reals) -> tuple[float, float]:
    """q₁ and q₀ from the judge's scores of the system that people prefer. Raises MetricError if they are of no use."""
    if not len(first) or not len(second):
        raise MetricError(
            f"people preferred the first system on {len(first)} pairs and the second on {len(second)}: "
            "the judge's errors are known only where both happened"
        )
    q1, q0 = float(first.mean()), float(second.mean())
    if q0 + q1 - 1 < LEAST_DISCERNMENT:
        raise MetricError(
            f"the judge agrees with people on {q1:.0%} of the pairs where they prefer the first system and on {q0:.0%} "
            f"of the others; that is too little for a correction (the sum less 1 is {q0 + q1 - 1:.2f}, wanted "
            f"{LEAST_DISCERNMENT:g})"
        )
    return q1, q0


def _variance(scores: Reals) -> float:
    """Of the mean of the scores. As if one more pair had gone each way: a judge without an error may yet make one."""
    steadied = np.concatenate([scores, [0.0, 1.0]])
    return float(np.var(steadied)) / len(scores)
