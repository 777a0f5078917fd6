"""How far two raters agree on the same items: confusion, raw agreement, Cohen's κ and Gwet's AC1, with intervals.

    totals T = (n, agreements, N_1 … N_K of the first rater, M_1 … M_K of the second);  p_o = agreements / n
    κ = (p_o − p_e) / (1 − p_e),  p_e = Σ_k N_k M_k / n²                           (Cohen 1960)
    AC1 likewise,  p_e = Σ_k q_k (1 − q_k) / (K − 1),  q_k = (N_k + M_k) / (2 n)   (Gwet 2008)

κ falls where one code is nearly always right: 85 % agreement with both margins at 90/10 is κ = .17 and AC1 = .82.
Report both, and the confusion they are from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from serxbench.errors import MetricError
from serxbench.metrics import totals
from serxbench.metrics.arrays import Integers, Reals, distinct_rows, same_length
from serxbench.metrics.totals import Contributions, Formula
from serxbench.statistics.intervals import interval
from serxbench.statistics.limits import DEFAULT, Inference
from serxbench.statistics.proportions import wilson
from serxbench.statistics.units import ITEMS, Unit


@dataclass(frozen=True, kw_only=True)
class Coefficient:
    """A measure of agreement with its interval; no limits (None) from fewer than two units."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class TwoRaters:
    """The agreement of two raters on n items.

    confusion: [first rater's code][second rater's code] → items, in the order of `codes`.
    kappa: None where it is undefined: both raters gave one and the same code to every item.
    agreement, kappa and ac1 have an interval of `level`, which has a width even where raters always, or never, agree.
    """

    codes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    n: int
    agreement: Coefficient
    kappa: Coefficient | None
    ac1: Coefficient
    level: float
    unit: str
    n_clusters: int | None

    def given_first(self, code: str) -> tuple[int, int]:
        """(items on which the second rater agrees, items) among those that the first rater gave `code`."""
        row = self.codes.index(code)
        return self.confusion[row][row], sum(self.confusion[row])


def compare_raters(
    first: Sequence[str],
    second: Sequence[str],
    codes: Sequence[str],
    *,
    unit: Unit = ITEMS,
    how: Inference = DEFAULT,
) -> TwoRaters:
    """The agreement of two raters who gave one of `codes` to each of the same items, in the same order.

    A code that says "none" is a code like any other, and has to be among them. Intervals resample `unit`.
    Raises MetricError for a code that is not in `codes`, for no items, or for fewer than two codes.

    >>> a, b = ["yes"] * 5 + ["no"] * 5, ["yes"] * 4 + ["no"] * 6
    >>> found = compare_raters(a, b, ["yes", "no"])
    >>> found.confusion, found.agreement.value, round(found.kappa.value, 2), round(found.ac1.value, 3)
    (((4, 1), (0, 5)), 0.9, 0.8, 0.802)
    """
    known = tuple(codes)
    one, other = _encoded(first, known, "first"), _encoded(second, known, "second")
    n = same_length(first=one, second=other)
    own = agreement_contributions(one, other, len(known))
    confusion = np.zeros((len(known), len(known)), dtype=np.intp)
    np.add.at(confusion, (one, other), 1)
    return TwoRaters(
        codes=known,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        n=n,
        agreement=_coefficient(own, agreement_formula, unit, how),
        kappa=None if confusion.max() == n == np.trace(confusion) else _coefficient(own, kappa_formula, unit, how),
        ac1=_coefficient(own, ac1_formula, unit, how),
        level=how.level,
        unit=unit.name,
        n_clusters=unit.n_clusters,
    )


def agreement_contributions(
    first: ArrayLike, second: ArrayLike, n_codes: int, weights: ArrayLike | None = None
) -> Contributions:
    """What each item adds to the totals above. weights: (n,) how many items each one stands for, 1 if None.

    first, second: (n,) codes 0 … K − 1. For `agreement_formula`, `kappa_formula` and `ac1_formula`.
    """
    if n_codes < 2:
        raise MetricError(f"{n_codes} codes: agreement needs two or more that a rater could have given")
    pairs = np.stack([np.asarray(first, dtype=np.intp), np.asarray(second, dtype=np.intp)], axis=1)
    n_items = same_length(pairs=pairs)
    heavy = np.ones(n_items) if weights is None else np.asarray(weights, dtype=np.float64)
    same_length(pairs=pairs, weights=heavy)
    size = np.unique(heavy, return_inverse=True)[1]
    representatives, kinds = distinct_rows(np.column_stack([pairs, size.reshape(-1)]))
    a, b = pairs[representatives].T
    rows = [np.ones(len(a)), a == b, *(a == code for code in range(n_codes)), *(b == code for code in range(n_codes))]
    return Contributions(
        codes=kinds,
        rows=np.column_stack(rows).astype(np.float64) * heavy[representatives][:, None],
        formula=kappa_formula,
        support=np.zeros(0, np.intp),
        names=(),
        fingerprint="",
    )


def agreement_formula(sums: Reals) -> Reals:
    """p_o: the share of items on which both raters gave the same code."""
    return totals.ratio(sums[..., 1], sums[..., 0])


def kappa_formula(sums: Reals) -> Reals:
    """Cohen's κ; 1 where both raters gave one code only, which is agreement that no chance can be told from."""
    first, second = np.split(sums[..., 2:], 2, axis=-1)
    return _above_chance(sums, totals.ratio((first * second).sum(axis=-1), sums[..., 0] ** 2))


def ac1_formula(sums: Reals) -> Reals:
    """Gwet's AC1, defined wherever there are two codes."""
    first, second = np.split(sums[..., 2:], 2, axis=-1)
    share = totals.ratio(first + second, np.broadcast_to(2 * sums[..., :1], first.shape))
    return _above_chance(sums, (share * (1 - share)).sum(axis=-1) / (first.shape[-1] - 1))


def _above_chance(sums: Reals, expected: Reals) -> Reals:
    missing = 1 - agreement_formula(sums)
    return np.asarray(1 - np.divide(missing, 1 - expected, out=np.zeros_like(missing), where=expected < 1))


def _encoded(given: Sequence[str], codes: tuple[str, ...], rater: str) -> Integers:
    position = {code: index for index, code in enumerate(codes)}
    unknown = next((item for item, code in enumerate(given) if code not in position), None)
    if unknown is not None:
        raise MetricError(f"{rater} rater: item {unknown} is {given[unknown]!r}, wanted one of {', '.join(codes)}")
    return np.array([position[code] for code in given], dtype=np.intp)


def _coefficient(own: Contributions, formula: Formula, unit: Unit, how: Inference) -> Coefficient:
    """The bootstrap's interval; Wilson's for raw agreement of single items; and the coefficient at Wilson's limits of
    agreement, the margins as they are, where raters always or never agree and no resample could differ."""
    value, agreed = own.value(formula), own.value(agreement_formula)
    n_units = own.n_items if unit.n_clusters is None else unit.n_clusters
    if n_units < 2:
        return Coefficient(value=value, low=None, high=None)
    if agreed in (0, 1) or (formula is agreement_formula and unit.clusters is None):
        low, high = wilson(agreed * n_units, n_units, how.level)
        return Coefficient(value=value, low=_at(low, own, formula), high=_at(high, own, formula))
    found = interval(own, formula, unit=unit, how=how)
    return Coefficient(value=value, low=found.low, high=min(found.high, 1.0))


def _at(agreement: float, own: Contributions, formula: Formula) -> float:
    """The coefficient if raw agreement were this, at the same margins."""
    sums = own.totals.copy()
    sums[1] = agreement * sums[0]
    return float(formula(sums))
