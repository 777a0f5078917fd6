"""How small a difference a corpus can show: before there are systems (`plan`), and from two systems (`detectable`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serxbench.errors import MetricError
from serxbench.metrics.all_labels import contributions
from serxbench.metrics.arrays import Reals
from serxbench.metrics.selection import Selection
from serxbench.metrics.totals import Contributions, Formula, macro_f1
from serxbench.statistics.blocks import Blocks, blocks, influence, standard_error
from serxbench.statistics.intervals import design_effect
from serxbench.statistics.student import normal_quantile, t_quantile
from serxbench.statistics.units import ITEMS, Unit


@dataclass(frozen=True, kw_only=True)
class Detectable:
    """The smallest true difference that a two-sided test at `alpha` finds with probability `power`.

    difference = (t_{1−α/2, N−1} + z_power) · se, se of the paired difference. design_effect: how much of it is due to
    speakers (variance ratio), None if items are the unit.
    """

    difference: float
    se: float
    power: float
    alpha: float
    unit: str
    n: int
    n_clusters: int | None
    design_effect: float | None


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is assumed of a corpus and of two systems whose true scores hardly differ.

    class_shares: of the references; numbers that need not sum to 1, such as supports. n_speakers: None for independent
    items. recall: both systems' recall of every class; errors go to the other classes by their shares. shared: with
    this probability the second system's answer is the first one's, otherwise it is drawn anew. speaker_correlation: of
    the items' influences within a speaker. size_cv: standard deviation / mean of the speakers' numbers of items.
    """

    n_items: int
    class_shares: Sequence[float]
    n_speakers: int | None = None
    recall: float = 0.4
    shared: float = 0.5
    speaker_correlation: float = 0.01
    size_cv: float = 1.0


def detectable(
    first: Contributions,
    second: Contributions,
    formula: Formula | None = None,
    *,
    unit: Unit = ITEMS,
    power: float = 0.8,
    alpha: float = 0.05,
) -> Detectable:
    """The smallest difference between two such systems that this corpus shows, from their own paired variance."""
    formula = formula or first.formula
    found = blocks((first, second), unit)
    se = standard_error(found, formula)
    return Detectable(
        difference=_times(found.n_units, power, alpha) * se,
        se=se,
        power=power,
        alpha=alpha,
        unit=unit.name,
        n=first.n_items,
        n_clusters=unit.n_clusters,
        design_effect=design_effect((first, second), formula, unit, se),
    )


def plan(design: Design, formula: Formula = macro_f1, *, power: float = 0.8, alpha: float = 0.05) -> Detectable:
    """The smallest difference that a corpus of this design shows, before any system has been run.

    The variance of the difference is the delta method's at the expected counts of (reference, first answer, second
    answer). Speakers multiply it by 1 + (m − 1) ρ, m = (n / n_speakers)(1 + size_cv²) the size of the speaker that a
    random item has. With the defaults it is a rule of thumb; `detectable` measures where answers exist.

    >>> shares = [0.485, 0.2, 0.12, 0.07, 0.05, 0.035, 0.028, 0.012]
    >>> for n in (1_000, 10_000):
    ...     print(n, round(100 * plan(Design(n_items=n, class_shares=shares)).difference, 1))
    1000 6.2
    10000 2.0
    """
    shares = np.asarray(design.class_shares, dtype=np.float64)
    _check(design, shares)
    found = _expected(design, shares / shares.sum())
    variance = float((found.sizes * influence(found, formula) ** 2).sum()) / (design.n_items - 1) * found.n_units
    effect, n_units = None, design.n_items
    if design.n_speakers is not None:
        of_a_random_item = design.n_items / design.n_speakers * (1 + design.size_cv**2)
        effect = 1 + max(of_a_random_item - 1, 0.0) * design.speaker_correlation
        n_units = design.n_speakers
    se = float(np.sqrt(variance * (effect or 1.0)))
    return Detectable(
        difference=_times(n_units, power, alpha) * se,
        se=se,
        power=power,
        alpha=alpha,
        unit="item" if design.n_speakers is None else "speaker",
        n=design.n_items,
        n_clusters=design.n_speakers,
        design_effect=effect,
    )


def _times(n_units: int, power: float, alpha: float) -> float:
    if not (0 < alpha < 1 and alpha < power < 1):
        raise MetricError(f"power {power} at alpha {alpha}: wanted 0 < alpha < power < 1")
    return t_quantile(1 - alpha / 2, n_units - 1) + normal_quantile(power)


def _check(design: Design, shares: Reals) -> None:
    if shares.ndim != 1 or len(shares) < 2 or not np.isfinite(shares).all() or (shares < 0).any() or shares.sum() <= 0:
        raise MetricError(f"class shares {shares.tolist()}: wanted two numbers or more, none negative")
    if design.n_items < 2 or (design.n_speakers is not None and not 2 <= design.n_speakers <= design.n_items):
        raise MetricError(
            f"{design.n_items} items of {design.n_speakers} speakers: wanted two items and two speakers or more, "
            "and no more speakers than items"
        )
    for name in ("recall", "shared", "speaker_correlation"):
        if not 0 <= getattr(design, name) <= 1:
            raise MetricError(f"{name} {getattr(design, name)}: wanted a share from 0 to 1")


def _expected(design: Design, shares: Reals) -> Blocks:
    """Blocks with the expected count of every (reference, first answer, second answer), in 1/1000 of an item."""
    n_classes = len(shares)
    answer = np.empty((n_classes, n_classes))
    for c in range(n_classes):
        others = np.where(np.arange(n_classes) == c, 0.0, shares)
        others = others if others.sum() > 0 else (np.arange(n_classes) != c).astype(np.float64)
        answer[c] = (1 - design.recall) * others / others.sum()
        answer[c, c] = design.recall
    joint = (1 - design.shared) * answer[:, :, None] * answer[:, None, :]
    joint[:, np.arange(n_classes), np.arange(n_classes)] += design.shared * answer
    joint *= shares[:, None, None]
    labels, first, second = (index.reshape(-1) for index in np.indices(joint.shape))
    selection = Selection.of(labels, n_classes)
    pair = [contributions(selection, answers, "mv") for answers in (first, second)]
    return Blocks(
        rows=np.hstack([system.rows[system.codes] for system in pair]),
        sizes=np.rint(joint.reshape(-1) * design.n_items * 1000).astype(np.intp),
        n_systems=2,
    )
