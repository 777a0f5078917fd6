"""Confidence intervals for one score."""

from __future__ import annotations

from dataclasses import dataclass

from serxbench.metrics.totals import Contributions, Formula
from serxbench.statistics.blocks import blocks, score, standard_error
from serxbench.statistics.cautions import Caution, cautions
from serxbench.statistics.limits import DEFAULT, RESAMPLING, Inference, Method, chosen, limits
from serxbench.statistics.units import ITEMS, Unit


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A score with its interval. se: standard error by the delta method, with the same unit.

    n: items. n_clusters: None if items are resampled. n_resamples: None for the closed form.
    design_effect: (SE with this unit / SE with items)², None if items are resampled: by how much fewer independent
    items the corpus would say the same.
    """

    value: float
    low: float
    high: float
    se: float
    level: float
    method: Method
    unit: str
    n: int
    n_clusters: int | None
    design_effect: float | None
    n_resamples: int | None
    seed: int | None
    cautions: tuple[Caution, ...]


def interval(
    system: Contributions, formula: Formula | None = None, *, unit: Unit = ITEMS, how: Inference = DEFAULT
) -> Interval:
    """The score of one system with its confidence interval.

    formula: default the system's own. The result depends on the seed and on the set of items, not on their order.
    Raises MetricError if there is one unit only, or the unit's clusters are not those of these items.

    >>> from serxbench.metrics import Selection, contributions
    >>> labels, answers = [0, 1] * 100, [0, 1, 1, 1] * 50
    >>> found = interval(contributions(Selection.of(labels, 2), answers, "mv"), how=Inference(method="delta"))
    >>> print(f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]")
    0.733 [0.670, 0.797]
    """
    formula = formula or system.formula
    found = blocks((system,), unit)
    se = standard_error(found, formula)
    low, high, method = limits(found, formula, chosen(how.method, (system,), unit), how)
    resampled = method in RESAMPLING
    return Interval(
        value=float(score(found, formula, found.totals)),
        low=low,
        high=high,
        se=se,
        level=how.level,
        method=method,
        unit=unit.name,
        n=system.n_items,
        n_clusters=unit.n_clusters,
        design_effect=design_effect((system,), formula, unit, se),
        n_resamples=how.n_resamples if resampled else None,
        seed=how.seed if resampled else None,
        cautions=cautions(system, unit),
    )


def design_effect(systems: tuple[Contributions, ...], formula: Formula, unit: Unit, se: float) -> float | None:
    """(SE with this unit / SE with items)² of a score or a difference; None for items, or if nothing varies."""
    if unit.clusters is None:
        return None
    by_item = standard_error(blocks(systems, ITEMS), formula)
    return (se / by_item) ** 2 if by_item > 0 else None
