"""Confidence limits from blocks of totals: five methods, and which of them when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from serxbench.errors import MetricError
from serxbench.metrics.arrays import Reals
from serxbench.metrics.totals import FORMULAS, Contributions, Formula
from serxbench.statistics.blocks import (
    Blocks,
    acceleration,
    block_counts,
    bootstrap_totals,
    chunks,
    gradient,
    jackknife_error,
    score,
    standard_error,
)
from serxbench.statistics.cautions import MIN_SUPPORT
from serxbench.statistics.student import normal_cdf, normal_quantile, t_quantile
from serxbench.statistics.units import Unit

Method = Literal["percentile", "bca", "studentized", "jackknife", "delta"]
Auto = Literal["auto"]
Test = Literal["permutation", "delta"]

#: Up to this many clusters the interval of one score is studentized (`chosen`).
FEW_CLUSTERS = 100

#: Scores that lie between 0 and 1; alpha does not.
_SHARES = frozenset(FORMULAS.values())

#: The smallest standard error of a resample that the studentized bootstrap believes, as a share of the data's own.
LEAST_ERROR = 0.2

#: Methods that draw resamples; the others are closed forms.
RESAMPLING: tuple[Method, ...] = ("percentile", "bca", "studentized")


@dataclass(frozen=True, kw_only=True)
class Inference:
    """How intervals and p values are made.

    method: of the interval. `percentile`, `bca` and `studentized` resample; `jackknife` and `delta` are closed forms,
    value ± t(N − 1) SE. `auto` is the one that covers best with these units and class sizes (see `chosen`).
    test: of two systems; `permutation` swaps units, `delta` is the t test on the difference.
    stop_above: end the permutations after the first thousand if p is above this (None: never).
    """

    method: Method | Auto = "auto"
    test: Test = "permutation"
    level: float = 0.95
    n_resamples: int = 10_000
    seed: int = 0
    stop_above: float | None = None

    def __post_init__(self) -> None:
        for name, wanted in (("method", (*get_args(Auto), *get_args(Method))), ("test", get_args(Test))):
            if getattr(self, name) not in wanted:
                raise MetricError(f"{name} {getattr(self, name)!r}: wanted one of {', '.join(wanted)}")
        if not 0 < self.level < 1:
            raise MetricError(f"level {self.level}: wanted a share between 0 and 1, such as 0.95")
        if self.n_resamples < 100:
            raise MetricError(f"{self.n_resamples} resamples: wanted 100 or more (10,000 to report)")


def chosen(method: Method | Auto, systems: tuple[Contributions, ...], unit: Unit) -> Method:
    """The method that `auto` stands for; any other method itself.

    Percentile bootstrap for items, jackknife for clusters. One score: studentized where a class has fewer than 50
    references, or there are at most 100 clusters. Coverage of 95 % intervals (benchmarks/validity.py), these choices
    against the percentile bootstrap throughout: one score, 20 speakers .90–.92 (.79); 50 .94 (.87–.90); 100 .93–.95
    (.91–.92); 465 .94–.96 (.93–.94); 200 items .92 (.84–.85). A difference, 20 to 100 speakers .94–.95 (.90–.94).
    """
    if method != "auto":
        return method
    few = unit.n_clusters is not None and unit.n_clusters <= FEW_CLUSTERS
    if len(systems) == 1 and (few or (systems[0].support < MIN_SUPPORT).any()):
        return "studentized"
    return "percentile" if unit.clusters is None else "jackknife"


#: The method by the data, permutation test, 10,000 resamples, 95 %.
DEFAULT = Inference()


def limits(found: Blocks, formula: Formula, method: Method, how: Inference) -> tuple[float, float, Method]:
    """Lower and upper limit by `method` for the score, or the difference, of `found`, and the method that gave them.

    `studentized` gives way to `jackknife` where too many resamples do not vary (`_studentized`). A limit beyond what a
    score or a difference of scores can be is moved to that edge, which costs no coverage.
    """
    both = _METHODS[method](found, formula, how)
    if both is None:
        method = "jackknife"
        both = _jackknife(found, formula, how)
    low, high = (float(limit) for limit in both)
    if formula in _SHARES:
        low, high = max(low, 0.0 if found.n_systems == 1 else -1.0), min(high, 1.0)
    return low, high, method


def _tail(how: Inference) -> float:
    return (1 - how.level) / 2


def _value(found: Blocks, formula: Formula) -> float:
    return float(score(found, formula, found.totals))


def _resampled(found: Blocks, formula: Formula, how: Inference) -> Reals:
    rng = np.random.default_rng(how.seed)
    return np.concatenate([score(found, formula, totals) for totals in bootstrap_totals(found, how.n_resamples, rng)])


def _percentile(found: Blocks, formula: Formula, how: Inference) -> tuple[float, float]:
    low, high = np.quantile(_resampled(found, formula, how), [_tail(how), 1 - _tail(how)])
    return low, high


def _bca(found: Blocks, formula: Formula, how: Inference) -> tuple[float, float]:
    """Percentiles moved by the bias z0 and the acceleration a of the bootstrap distribution (Efron 1987)."""
    drawn, value, a = _resampled(found, formula, how), _value(found, formula), acceleration(found, formula)
    near = np.abs(drawn - value) < 1e-12
    below = float((drawn[~near] < value).sum() + near.sum() / 2) / len(drawn)
    edge = 0.5 / len(drawn)
    z0 = normal_quantile(min(max(below, edge), 1 - edge))

    def at(z: float) -> float:
        shifted = z0 + z
        return normal_cdf(z0 + shifted / (1 - a * shifted))

    z = normal_quantile(_tail(how))
    low, high = np.quantile(drawn, [at(z), at(-z)])
    return low, high


def _studentized(found: Blocks, formula: Formula, how: Inference) -> tuple[float, float] | None:
    """θ − q_{1−α/2} SE, θ − q_{α/2} SE, with q of (θ* − θ) / SE*, both SE by the delta method (bootstrap-t).

    Of a system that answers few of the classes some resamples hardly vary at all, and a division by almost nothing
    would set the limit. SE* is therefore at least `LEAST_ERROR` of SE; where that concerns as many resamples as one
    tail holds, the ratios say nothing about that tail, and the result is None.
    """
    rng = np.random.default_rng(how.seed)
    value, se, n = _value(found, formula), standard_error(found, formula), found.n_units
    if se == 0:
        return value, value
    ratios, n_still = [], 0
    for size in chunks(how.n_resamples, 2 * len(found.sizes)):
        drawn = block_counts(found.sizes, size, rng)
        totals = drawn @ found.rows
        moves = gradient(found, formula, totals) @ found.rows.T
        moves -= (drawn * moves).sum(axis=1, keepdims=True) / n
        errors = np.sqrt(n / (n - 1) * (drawn * moves**2).sum(axis=1))
        n_still += int((errors < LEAST_ERROR * se).sum())
        ratios.append((score(found, formula, totals) - value) / np.maximum(errors, LEAST_ERROR * se))
    if n_still >= _tail(how) * how.n_resamples:
        return None
    low, high = np.quantile(np.concatenate(ratios), [_tail(how), 1 - _tail(how)])
    return value - high * se, value - low * se


def _delta(found: Blocks, formula: Formula, how: Inference) -> tuple[float, float]:
    return _t_interval(found, formula, how, standard_error(found, formula))


def _jackknife(found: Blocks, formula: Formula, how: Inference) -> tuple[float, float]:
    return _t_interval(found, formula, how, jackknife_error(found, formula))


def _t_interval(found: Blocks, formula: Formula, how: Inference, se: float) -> tuple[float, float]:
    value, half = _value(found, formula), t_quantile(1 - _tail(how), found.n_units - 1) * se
    return value - half, value + half


_METHODS: Mapping[Method, Callable[[Blocks, Formula, Inference], tuple[float, float] | None]] = {
    "percentile": _percentile,
    "bca": _bca,
    "studentized": _studentized,
    "delta": _delta,
    "jackknife": _jackknife,
}
