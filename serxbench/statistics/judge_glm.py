"""One model of a judge's verdicts that tells quality, position and length apart.

A row is one verdict, y = 1 if the text shown first won (a tie is ½), z = +1 if that was the first system's, else −1:

    logit P(y) = π + z · (β₀ + u_emotion + γ · tanh(Δlength / sd))

π: how far the judge leans to the text shown first. Δlength: characters of the first system's text minus the second's.
γ: how far it leans to the longer text. A small ridge on u and γ keeps an emotion without a loss finite. Errors are
clustered by item (sandwich). All effects are population-averaged: where items differ much in quality, they are nearer
to 0 than those on any one item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serxbench.errors import MetricError
from serxbench.metrics.arrays import Integers, Reals
from serxbench.statistics.logistic import LogisticFit, fit_logistic, sigmoid
from serxbench.statistics.pairwise import Verdicts, stratified_mean, stratum_weights

RIDGE = 0.1

#: The raw and the length-controlled win rate may differ by this much before the report says so.
LENGTH_ALARM = 0.10


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A number of the model with its interval: an effect in logits, or a win rate."""

    value: float
    low: float
    high: float
    se: float


@dataclass(frozen=True, kw_only=True)
class JudgeModel:
    """What the model says of one pair of systems.

    position: π; None if the order never changed, which leaves it and quality inseparable. length: γ; None if no two
    texts differ in length. by_emotion: β₀ + u. length_sd: the sd, in characters. win_rate: of the first system without
    a lean to either position, lengths as they are. win_rate_equal_length: with texts of one length besides.
    """

    position: Effect
    length: Effect | None
    quality: Effect
    by_emotion: dict[str, Effect]
    length_sd: float
    win_rate: Effect
    win_rate_equal_length: Effect
    level: float
    ridge: float
    n_items: int
    n_verdicts: int
    converged: bool


def judge_model(
    verdicts: Verdicts, length_difference: Sequence[float], shares: Sequence[float] | None = None, level: float = 0.95
) -> JudgeModel:
    """The model fitted to all verdicts of the items that have them all.

    length_difference: of each item, in characters. shares: as for win_rate, and the win rates speak for the same
    population. Their errors hold the items' differences in length besides the coefficients' errors.
    Raises MetricError with fewer than two such items, if the first system was shown in one position only, or if all
    verdicts are for one position or for one system: its effect then has no end, and nothing can be told from it.
    """
    kept = verdicts.complete
    whole, delta = verdicts.take(kept), np.asarray(length_difference, dtype=np.float64)[kept]
    sign = 2 * whole.first - 1
    _check_told_apart(whole.scores, sign)
    sd = float(np.sqrt(np.mean(delta * delta)))
    length = np.tanh(delta / sd) if sd > 0 else np.zeros(len(delta))
    strata, present = _dense(whole.strata)
    fit = _fit(whole.scores, sign, strata, length)
    model = _Fitted(fit=fit, strata=strata, length=length, n_strata=len(present), level=level)
    weights = stratum_weights(whole.strata, len(verdicts.names), shares)[present]
    return JudgeModel(
        position=model.effect(model.unit(0)),
        length=model.effect(model.unit(2)) if sd > 0 else None,
        quality=model.effect(sum(w * model.emotion(h) for h, w in enumerate(weights))),
        by_emotion={verdicts.names[code]: model.effect(model.emotion(h)) for h, code in enumerate(present)},
        length_sd=sd,
        win_rate=model.win_rate(weights, length),
        win_rate_equal_length=model.win_rate(weights, np.zeros(len(length))),
        level=level,
        ridge=RIDGE,
        n_items=len(delta),
        n_verdicts=int(whole.scores.size),
        converged=fit.converged,
    )


def _check_told_apart(scores: Reals, sign: Reals) -> None:
    if len(scores) < 2 or (sign == sign.flat[0]).all():
        raise MetricError("position and quality cannot be told apart: the first system was shown in one position only")
    for_first_text = np.where(sign > 0, scores, 1 - scores)
    for verdicts, what in ((for_first_text, "for the text in the same position"), (scores, "for the same system")):
        if (verdicts == verdicts.flat[0]).all():
            raise MetricError(
                "every verdict is a tie"
                if verdicts.flat[0] == 0.5
                else f"every verdict is {what}: its effect has no end"
            )


def _dense(strata: Integers) -> tuple[Integers, Integers]:
    present, dense = np.unique(strata, return_inverse=True)
    return dense.reshape(-1).astype(np.intp), present.astype(np.intp)


def _fit(scores: Reals, sign: Reals, strata: Integers, length: Reals) -> LogisticFit:
    n_items, n_orders = scores.shape
    items = np.repeat(np.arange(n_items), n_orders)
    z, won = sign.reshape(-1), scores.reshape(-1)
    n_strata = int(strata.max()) + 1
    emotion = np.eye(n_strata)[strata[items]] if n_strata > 1 else np.zeros((len(items), 0))
    design = np.column_stack([np.ones(len(items)), z, z * length[items], z[:, None] * emotion])
    ridge = np.concatenate([[0.0, 1e-6, RIDGE], np.full(emotion.shape[1], RIDGE)])
    return fit_logistic(design, np.where(z > 0, won, 1 - won), items, ridge)


@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """Coefficients in the order π, β₀, γ, u_1 … u_H; there are no u with one emotion."""

    fit: LogisticFit
    strata: Integers
    length: Reals
    n_strata: int
    level: float

    def unit(self, position: int) -> Reals:
        return np.asarray(np.eye(len(self.fit.coefficients))[position], dtype=np.float64)

    def emotion(self, h: int) -> Reals:
        """The gradient of β₀ + u_h."""
        return np.asarray(self.unit(1) + (self.unit(3 + h) if self.n_strata > 1 else 0.0))

    def effect(self, gradient: Reals) -> Effect:
        value = float(gradient @ self.fit.coefficients)
        se, low, high = self.fit.interval(value, gradient, self.level)
        return Effect(value=value, low=low, high=high, se=se)

    def win_rate(self, weights: Reals, length: Reals) -> Effect:
        """Σ_h w_h · mean over the items of h of σ(β₀ + u_h + γ · length)."""
        rows = np.array([self.emotion(h) for h in range(self.n_strata)])[self.strata] + np.outer(length, self.unit(2))
        p = sigmoid(rows @ self.fit.coefficients)
        slopes = rows * (p * (1 - p))[:, None]
        gradient = np.array([stratified_mean(column, self.strata, weights) for column in slopes.T])
        value = stratified_mean(p, self.strata, weights)
        of_items = sum(
            float(weights[h]) ** 2 * float(np.var(p[self.strata == h], ddof=1)) / int((self.strata == h).sum())
            for h in range(self.n_strata)
            if (self.strata == h).sum() > 1
        )
        se, low, _ = self.fit.interval(value, gradient, self.level)
        total = float(np.sqrt(se * se + of_items))
        half = (value - low) / se * total if se > 0 else 0.0
        return Effect(value=value, low=max(value - half, 0.0), high=min(value + half, 1.0), se=total)
