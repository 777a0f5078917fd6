"""Scores as functions of totals: items add rows, rows are summed, a formula turns the sums into a score.

    totals T = (TP_1 … TP_C, R_1 … R_C, P_1 … P_C, correct, n)
    TP  credited answers per class, R  reference mass per class, P  answers per class (Other and failures add
    to no P)

Every formula below takes totals of shape (…, 3C + 2) and returns scores of shape (…), so that ten thousand
resamples are one call. All of them are homogeneous of degree 0: multiplying all totals by a constant changes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from serxbench.metrics.arrays import Integers, Reals

Formula = Callable[[Reals], Reals]


@dataclass(frozen=True, kw_only=True)
class Contributions:
    """What each of n items adds to the totals of one system: item i adds `rows[codes[i]]`.

    formula: the score that these totals are meant for; any other formula of this module can be used on them.
    support: (C,) reference items per class, for warnings about small classes. names: the classes.
    fingerprint: hash of items and references; systems that differ in it cannot be paired.
    """

    codes: Integers
    rows: Reals
    formula: Formula
    support: Integers
    names: tuple[str, ...]
    fingerprint: str

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.codes)

    @property
    def totals(self) -> Reals:
        """The sum of the rows of all items."""
        return np.asarray(np.bincount(self.codes, minlength=len(self.rows)) @ self.rows, dtype=np.float64)

    def value(self, formula: Formula | None = None) -> float:
        """The score over all items."""
        return float((formula or self.formula)(self.totals))


def _parts(totals: Reals) -> tuple[Reals, Reals, Reals]:
    n_classes = (totals.shape[-1] - 2) // 3
    return (
        totals[..., :n_classes],
        totals[..., n_classes : 2 * n_classes],
        totals[..., 2 * n_classes : 3 * n_classes],
    )


def ratio(over: Reals, under: Reals) -> Reals:
    """over / under, and 0 where `under` is 0 (scikit-learn's `zero_division=0`)."""
    return np.divide(over, under, out=np.zeros_like(over, dtype=np.float64), where=under > 0)


def f1_by_class(totals: Reals) -> Reals:
    """(…, C) F1_c = 2 TP_c / (R_c + P_c); 0 for a class that is neither a reference nor an answer."""
    hits, references, answers = _parts(totals)
    return ratio(2 * hits, references + answers)


def recall_by_class(totals: Reals) -> Reals:
    """(…, C) TP_c / R_c; 0 for a class without references."""
    hits, references, _ = _parts(totals)
    return ratio(hits, references)


def precision_by_class(totals: Reals) -> Reals:
    """(…, C) TP_c / P_c; 0 for a class that was never answered."""
    hits, _, answers = _parts(totals)
    return ratio(hits, answers)


def macro_f1(totals: Reals) -> Reals:
    """Mean of F1_c over all C classes; an absent class stays in the mean with 0."""
    return np.asarray(f1_by_class(totals).mean(axis=-1))


def macro_f1_present(totals: Reals) -> Reals:
    """Mean of F1_c over the classes that occur among the references. Name it where it is printed."""
    _, references, _ = _parts(totals)
    return _mean_where(f1_by_class(totals), references > 0)


def uar(totals: Reals) -> Reals:
    """Unweighted average recall over all C classes; an absent class stays in the mean with 0."""
    return np.asarray(recall_by_class(totals).mean(axis=-1))


def uar_present(totals: Reals) -> Reals:
    """Unweighted average recall over the classes that occur among the references (balanced accuracy)."""
    _, references, _ = _parts(totals)
    return _mean_where(recall_by_class(totals), references > 0)


def macro_precision(totals: Reals) -> Reals:
    """Mean of TP_c / P_c over all C classes."""
    return np.asarray(precision_by_class(totals).mean(axis=-1))


def weighted_f1(totals: Reals) -> Reals:
    """Σ_c R_c F1_c / Σ_c R_c."""
    _, references, _ = _parts(totals)
    return ratio((references * f1_by_class(totals)).sum(axis=-1), references.sum(axis=-1))


def accuracy(totals: Reals) -> Reals:
    """correct / n: every item is in the denominator. On All-labels totals this is the hit rate."""
    return ratio(totals[..., -2], totals[..., -1])


def _mean_where(values: Reals, present: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Reals:
    return ratio((values * present).sum(axis=-1), present.sum(axis=-1).astype(np.float64))


#: Formula by the name that is printed with a score.
FORMULAS: Mapping[str, Formula] = {
    formula.__name__: formula
    for formula in (macro_f1, macro_f1_present, uar, uar_present, macro_precision, weighted_f1, accuracy)
}


def mean_formula(totals: Reals) -> Reals:
    """Σ value / n of the totals of `mean_contributions`."""
    return ratio(totals[..., 0], totals[..., 1])


def mean_contributions(values: Reals, *, fingerprint: str = "") -> Contributions:
    """Any score that is a mean of one number per item (a soft-label distance, say), as totals (Σ value, n).

    >>> mean_contributions(np.array([0.25, 0.25, 1.0])).value()
    0.5
    """
    kinds, codes = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True)
    return Contributions(
        codes=codes.astype(np.intp),
        rows=np.column_stack([kinds, np.ones(len(kinds))]),
        formula=mean_formula,
        support=np.zeros(0, np.intp),
        names=(),
        fingerprint=fingerprint,
    )
