"""How much annotators agree: Krippendorff's α from vote counts. No annotator identities are needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from serxbench.errors import MetricError
from serxbench.metrics import totals
from serxbench.metrics.arrays import Reals, counts, distinct_rows, same_length
from serxbench.metrics.totals import Contributions


def alpha_formula(sums: Reals) -> Reals:
    """Krippendorff's α from the totals of `alpha_contributions`: (…, 1 + K), disagreement then N_1 … N_K."""
    per_class = sums[..., 1:]
    n = per_class.sum(axis=-1)
    observed = totals.ratio(sums[..., 0], n)
    expected = totals.ratio(n * n - (per_class * per_class).sum(axis=-1), n * (n - 1))
    return np.asarray(1 - totals.ratio(observed, expected))


def alpha_contributions(votes: ArrayLike) -> Contributions:
    """Krippendorff's nominal α as totals, so that it has intervals like every score.

    votes: (n, K) counts; every column is a class, so leave out the column Other to leave it out of α. Item i
    adds (n_i² − Σ_c V_ic²) / (n_i − 1) and its counts V_ic; items with fewer than two votes add nothing.
    α = 1 − D_o / D_e, D_o = Σ_i (…) / N, D_e = (N² − Σ_c N_c²) / (N (N − 1)).
    """
    table = counts(votes, name="votes")
    same_length(votes=table)
    first, codes = distinct_rows(table)
    kinds = table[first].astype(np.float64)
    n = kinds.sum(axis=1)
    kinds[n < 2] = 0
    disagreement = totals.ratio(n * n - (kinds * kinds).sum(axis=1), np.where(n < 2, 0.0, n - 1))
    return Contributions(
        codes=codes,
        rows=np.column_stack([disagreement, kinds]),
        formula=alpha_formula,
        support=np.zeros(0, np.intp),
        names=(),
        fingerprint="",
    )


def krippendorff_alpha(votes: ArrayLike) -> float:
    """Krippendorff's nominal α of a matrix of vote counts (items × classes).

    Raises MetricError if no item has two votes, or all votes are for one class (α is then undefined).

    >>> round(krippendorff_alpha([[2, 0], [0, 2], [1, 1]]), 4)
    0.4444
    """
    found = alpha_contributions(votes)
    per_class = found.totals[1:]
    if per_class.sum() == 0 or per_class.max() == per_class.sum():
        raise MetricError(
            "alpha is undefined: it needs items with two votes or more, and votes for at least two classes; "
            f"found {per_class.astype(int).tolist()} votes per class in such items"
        )
    return found.value()


def alpha_by_class(votes: ArrayLike) -> tuple[float | None, ...]:
    """α of every class against the rest; None for a class that nobody or everybody voted for."""
    table = counts(votes, name="votes")
    found: list[float | None] = []
    for c in range(table.shape[1]):
        against = np.column_stack([table[:, c], table.sum(axis=1) - table[:, c]])
        pairable = against[against.sum(axis=1) > 1].sum(axis=0)
        found.append(krippendorff_alpha(against) if (pairable > 0).all() else None)
    return tuple(found)
