"""Two systems compared item by item by a judge: win rate, its interval, and what the judge's verdicts are worth.

An item is judged once or twice (both orders). Its score is the mean of its verdicts, a win of the first system 1, a tie
½, a loss 0: two verdicts on an item are one observation. An item that lacks one of its verdicts has no score; the win
rate leaves it out, says how many there are, and is bounded by what they could have been.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from serxbench.errors import MetricError
from serxbench.metrics.arrays import Integers, Mask, Reals
from serxbench.statistics.proportions import wilson
from serxbench.statistics.student import t_quantile

Weights = Literal["emotions", "items", "population"]
WinMethod = Literal["stratified", "wilson"]

#: Below this many items, or beyond this share, the normal approximation falls short of its level.
FEW_ITEMS = 100
EXTREME = 0.95


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """The verdicts on items that each have the same number of slots, one an order. All arrays are (items, orders).

    scores: of the first system, 1, ½ or 0; NaN where there is no verdict. first: whether it was the text shown first.
    strata: (items,) number of each item's emotion. names: of the emotions.
    """

    scores: Reals
    first: Reals
    strata: Integers
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or self.scores.shape != self.first.shape or len(self.strata) != len(self.scores):
            raise MetricError("scores and first must be items × orders, strata one number an item")
        known = self.scores[~np.isnan(self.scores)]
        if not np.isin(known, (0.0, 0.5, 1.0)).all():
            raise MetricError("a verdict scores 1, 0.5 or 0; there are others")

    @property
    def complete(self) -> Mask:
        """Whether an item has all its verdicts."""
        return np.asarray(~np.isnan(self.scores).any(axis=1))

    def take(self, chosen: Mask) -> Verdicts:
        """Some of the items."""
        return Verdicts(
            scores=self.scores[chosen], first=self.first[chosen], strata=self.strata[chosen], names=self.names
        )


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share with its interval. n: items behind it."""

    value: float
    low: float
    high: float
    se: float
    level: float
    method: str
    n: int


@dataclass(frozen=True, kw_only=True)
class WinRate(Rate):
    """The win rate of the first system.

    weights: of the emotions, by name, summing to 1 over those with a scored item. win_share, tie_share, loss_share: of
    the verdicts, weighed alike, so that win_share + tie_share / 2 is the rate. wins, ties, losses: items that score 1,
    ½ and 0; halves: those that score ¾ or ¼, a tie in one order only. n_incomplete: items without all verdicts, which
    are in no number but the bounds. worst, best: the rate if every missing verdict were a loss, or a win.
    """

    weights: dict[str, float]
    win_share: float
    tie_share: float
    loss_share: float
    wins: int
    ties: int
    losses: int
    halves: int
    n_incomplete: int
    worst: float
    best: float


def win_rate(verdicts: Verdicts, shares: Sequence[float] | None = None, level: float = 0.95) -> WinRate:
    """The stratified win rate θ = Σ_h w_h s̄_h of the first system, with its interval over items.

    shares: of each emotion in the population that the rate speaks for; None weighs every emotion alike. Emotions
    without a scored item are left out, and the others' weights grow in proportion.
    Interval: θ ± t √(Σ w_h² v_h / n_h), v_h the variance of the scores in h, steadied by one observation's worth of the
    pooled variance, since the few items of an emotion may all agree. Where there are fewer than 100 items, where every
    score is 0 or 1, or beyond 95 %, it is Wilson's for Kish's effective number of items 1 / Σ (w_h² / n_h).
    Raises MetricError if no item has all its verdicts.

    >>> scores = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    >>> first = np.array([[1.0, 0.0]] * 4)
    >>> found = win_rate(Verdicts(scores=scores, first=first, strata=np.zeros(4, int), names=("Sad",)))
    >>> found.value, found.wins, found.ties, found.losses, found.method
    (0.625, 2, 1, 1, 'wilson')
    """
    kept = verdicts.complete
    if not kept.any():
        raise MetricError("no item has all its verdicts: there is no win rate")
    items, strata = verdicts.scores[kept].mean(axis=1), verdicts.strata[kept]
    weights = stratum_weights(strata, len(verdicts.names), shares)
    rate = _rate(items, strata, weights, level)
    win, tie, loss = (_verdict_share(verdicts.scores[kept], wanted, strata, weights) for wanted in (1.0, 0.5, 0.0))
    worst, best = (_filled(verdicts, shares, fill) for fill in (0.0, 1.0))
    return WinRate(
        **vars(rate),
        weights={name: float(w) for name, w in zip(verdicts.names, weights, strict=True) if w > 0},
        win_share=win,
        tie_share=tie,
        loss_share=loss,
        wins=int((items == 1).sum()),
        ties=int((items == 0.5).sum()),
        losses=int((items == 0).sum()),
        halves=int(np.isin(items, (0.25, 0.75)).sum()),
        n_incomplete=int((~kept).sum()),
        worst=worst,
        best=best,
    )


def _rate(items: Reals, strata: Integers, weights: Reals, level: float) -> Rate:
    """The stratified mean of the items' scores with the interval that `win_rate` describes."""
    value = stratified_mean(items, strata, weights)
    n_by_stratum = np.bincount(strata, minlength=len(weights))
    there = n_by_stratum > 0
    effective = 1 / float((weights[there] ** 2 / n_by_stratum[there]).sum())
    se = math.sqrt(_variance(items, strata, weights))
    method: WinMethod = "stratified"
    low, high = _t_limits(value, se, len(items), int(there.sum()), level)
    if len(items) < FEW_ITEMS or not EXTREME >= value >= 1 - EXTREME or np.isin(items, (0.0, 1.0)).all():
        method = "wilson"
        low, high = wilson(min(value, 1.0) * effective, effective, level)
    return Rate(value=value, low=low, high=high, se=se, level=level, method=method, n=len(items))


def stratum_weights(strata: Integers, n_strata: int, shares: Sequence[float] | None) -> Reals:
    """The weights of the emotions, 0 for those without an item, summing to 1."""
    there = np.bincount(strata, minlength=n_strata) > 0
    given = np.ones(n_strata) if shares is None else np.asarray(shares, dtype=np.float64)
    if given.shape != (n_strata,) or (given < 0).any() or (given[there]).sum() <= 0:
        raise MetricError(f"weights {given.tolist()}: wanted one for each of {n_strata} emotions, none negative")
    kept = np.where(there, given, 0.0)
    return np.asarray(kept / kept.sum())


def stratified_mean(values: Reals, strata: Integers, weights: Reals) -> float:
    """Σ_h w_h · mean of the values in h."""
    n = np.bincount(strata, minlength=len(weights))
    sums = np.bincount(strata, weights=values, minlength=len(weights))
    there = n > 0
    return float((weights[there] * sums[there] / n[there]).sum())


def _variance(items: Reals, strata: Integers, weights: Reals) -> float:
    """Variance of the stratified mean. The pooled variance is about the overall mean, so it is none too small."""
    pooled = float(np.var(items, ddof=1)) if len(items) > 1 else 0.25
    total = 0.0
    for h in np.unique(strata):
        inside = items[strata == h]
        around = float(((inside - inside.mean()) ** 2).sum())
        total += float(weights[h]) ** 2 * (around + pooled) / len(inside) / len(inside)
    return total


def _t_limits(value: float, se: float, n: int, n_strata: int, level: float) -> tuple[float, float]:
    half = t_quantile((1 + level) / 2, max(n - n_strata, 1)) * se
    return max(value - half, 0.0), min(value + half, 1.0)


def _verdict_share(scores: Reals, wanted: float, strata: Integers, weights: Reals) -> float:
    return stratified_mean((scores == wanted).mean(axis=1), strata, weights)


def _filled(verdicts: Verdicts, shares: Sequence[float] | None, fill: float) -> float:
    """The win rate over all items with every missing verdict taken as `fill`."""
    items = np.where(np.isnan(verdicts.scores), fill, verdicts.scores).mean(axis=1)
    return stratified_mean(items, verdicts.strata, stratum_weights(verdicts.strata, len(verdicts.names), shares))


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What the order of the texts did. All shares are over items with all their verdicts.

    first_position: share of decisive verdicts for the text shown first; None if there is no decisive verdict.
    flips: share of items judged in both orders whose two verdicts name different systems; wavering: share of those
    whose one verdict is a tie and whose other is not. Both None if every item was judged once. ties: share of verdicts.
    """

    first_position: Rate | None
    flips: Rate | None
    wavering: Rate | None
    ties: Rate


def order_effects(verdicts: Verdicts, level: float = 0.95) -> Orders:
    """How often the judge prefers the first text, contradicts itself when the order is turned, and calls a tie."""
    whole = verdicts.take(verdicts.complete)
    scores, first = whole.scores, whole.first
    if not len(scores):
        raise MetricError("no item has all its verdicts: nothing can be said of the judge")
    decisive = scores != 0.5
    won_first = decisive & ((scores == 1) == (first == 1))
    both = scores.shape[1] == 2
    opposite = decisive.all(axis=1) & (scores[:, 0] != scores[:, -1])
    one_tie = decisive.sum(axis=1) == 1
    return Orders(
        first_position=_ratio(won_first.sum(axis=1), decisive.sum(axis=1), level) if decisive.any() else None,
        flips=_simple(opposite, level) if both else None,
        wavering=_simple(one_tie, level) if both else None,
        ties=_ratio((~decisive).sum(axis=1), np.full(len(scores), scores.shape[1]), level),
    )


def _simple(hits: NDArray[Any], level: float) -> Rate:
    share, n = float(hits.mean()), len(hits)
    low, high = wilson(float(hits.sum()), n, level)
    se = math.sqrt(share * (1 - share) / n)
    return Rate(value=share, low=low, high=high, se=se, level=level, method="wilson", n=n)


def _ratio(hits: NDArray[Any], of: NDArray[Any], level: float) -> Rate:
    """Σ hits / Σ of with items as units (linearised ratio); Wilson where every item has at most one, or nothing
    varies."""
    total = int(of.sum())
    share, n = float(hits.sum()) / total, int((of > 0).sum())
    low, high = wilson(float(hits.sum()), total, level)
    se = math.sqrt(share * (1 - share) / total)
    method = "wilson"
    if of.max() > 1 and n > 1:
        deviations = hits - share * of
        se = math.sqrt(len(of) / (len(of) - 1) * float((deviations**2).sum())) / total
        if se > 0:
            half, method = t_quantile((1 + level) / 2, n - 1) * se, "clustered by item"
            low, high = max(share - half, 0.0), min(share + half, 1.0)
    return Rate(value=share, low=low, high=high, se=se, level=level, method=method, n=n)
