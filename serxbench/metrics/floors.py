"""What guessing would score on the same items, in closed form.

A guesser answers class c with probability q_c, whatever it hears. Its expected totals are Σ_c q_c T(always
c), and its score is the formula at the expected totals (the difference to the expected score vanishes as
1/n). That holds for every variant of `serxbench.metrics.all_labels`, so a floor stands beside a score
computed in exactly the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from serxbench.errors import MetricError
from serxbench.metrics.all_labels import DEFAULT_VARIANT, Variant, contributions, variant_of
from serxbench.metrics.arrays import Reals
from serxbench.metrics.selection import Selection
from serxbench.metrics.totals import Formula


@dataclass(frozen=True, kw_only=True)
class Floors:
    """Scores of three guessers.

    uniform: q_c = 1/C. prior: q_c = share of c among the references of these items. majority: always the most
    frequent reference, `majority_class` (the first of them in a tie).
    """

    uniform: float
    prior: float
    majority: float
    majority_class: int


def guess(
    selection: Selection,
    probabilities: ArrayLike,
    variant: str | Variant = DEFAULT_VARIANT,
    formula: Formula | None = None,
) -> float:
    """The score of a guesser that answers class c with probability `probabilities[c]`.

    >>> guess(Selection.of([0, 0, 1], 2), [0.5, 0.5], "mv")
    0.4857142857142857
    """
    shares = np.asarray(probabilities, dtype=np.float64)
    if shares.shape != (selection.n_classes,) or (shares < 0).any() or not np.isclose(shares.sum(), 1):
        raise MetricError(f"probabilities {shares.tolist()}: wanted {selection.n_classes} numbers ≥ 0 that sum to 1")
    reading = variant_of(variant) if isinstance(variant, str) else variant
    expected: Reals = sum(
        (
            share * contributions(selection, np.full(selection.n_items, c), reading).totals
            for c, share in enumerate(shares)
            if share > 0
        ),
        start=np.zeros(1),
    )
    return float((formula or reading.formula)(expected))


def floors(selection: Selection, variant: str | Variant = DEFAULT_VARIANT, formula: Formula | None = None) -> Floors:
    """The three floors of a variant (and formula, default the variant's own) on these items.

    >>> floors(Selection.of([0, 0, 1], 2), "mv")
    Floors(uniform=0.4857142857142857, prior=0.5, majority=0.4, majority_class=0)
    """
    n_classes = selection.n_classes
    prior = selection.support / selection.support.sum()
    most = int(selection.support.argmax())
    return Floors(
        uniform=guess(selection, np.full(n_classes, 1 / n_classes), variant, formula),
        prior=guess(selection, prior, variant, formula),
        majority=guess(selection, np.arange(n_classes) == most, variant, formula),
        majority_class=most,
    )


def chance_corrected(score: float, floor: float) -> float:
    """(score − floor) / (1 − floor): 0 at the floor, 1 at a perfect score. Use `Floors.prior` for All-labels.

    >>> round(chance_corrected(0.6678, 0.26), 4)
    0.5511
    """
    if not floor < 1:
        raise MetricError(f"a floor of {floor} leaves nothing above it; wanted a floor below 1")
    return (score - floor) / (1 - floor)
