"""How often a parser misreads, from a stratified sample of answers that people read too, and scores without that.

Stratum h: N_h answers that the parser read as j(h), n_h of them sampled, x_ht of these truly t; W_h = N_h / N.

    joint      J[t, j] = Σ_{h: j(h) = j} W_h x_ht / n_h        error rate  Σ_{t ≠ j} J[t, j]
    confusion  E[t, j] = J[t, j] / Σ_j J[t, j]                  how the parser reads what truly is t
    mixing     C = M E, C the counts of reference × reading and M those of reference × truth, if a misreading depends on
               what the answer says and not on the reference; so M = C E⁻¹, and an answer read as j adds
               Σ_t E⁻¹[j, t] w(t) to the totals of a score, w(t) being its row if it said t (weights may be negative)
    posterior  each stratum's truths ~ Dirichlet(x_h + prior): Jeffreys' half an error, and half a right one, of the
               whole sample, spread over strata by n_h, over wrong truths by how frequent they are
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from serxbench.errors import MetricError
from serxbench.metrics.arrays import Integers, Mask, Reals, distinct_rows
from serxbench.metrics.totals import Contributions, Formula
from serxbench.statistics.blocks import blocks, jackknife_error, score
from serxbench.statistics.proportions import wilson
from serxbench.statistics.student import t_cdf, t_quantile
from serxbench.statistics.units import Unit

#: Draws from the posterior of a parser's confusion.
N_DRAWS = 200

#: Points by which Student's t is laid over each draw.
N_NOISE = 99

#: A truth is clear to a parser that reads it as such at least this often: E⁻¹ has no row of norm above 5 then.
CLEAR = 0.6


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """Answers of one kind. size: N_h. read: the parser's reading, 0 … K − 1. truths: (K,) sampled answers by truth."""

    size: int
    read: int
    truths: tuple[int, ...]

    @property
    def n(self) -> int:
        """Sampled answers."""
        return sum(self.truths)


@dataclass(frozen=True, kw_only=True)
class ErrorRate:
    """Share of answers that are misread, weighted back to all of them.

    n_effective: items of a simple random sample that would say as much.
    """

    value: float
    low: float
    high: float
    n: int
    n_errors: int
    n_effective: float


def error_rate(strata: Sequence[Stratum], level: float = 0.95) -> ErrorRate:
    """The rate at which the parser misreads, with Wilson's interval at the effective sample size.

    That size is (Σ_h W_h² / n_h)⁻¹ (Kish), or less where errors fall on answers that stand for many others. No finite
    population correction: the interval is for answers like these. Raises MetricError for a stratum without a sample.

    >>> found = error_rate([Stratum(size=900, read=0, truths=(200, 0)), Stratum(size=450, read=1, truths=(0, 100))])
    >>> found.value, round(100 * found.high, 2)
    (0.0, 1.26)
    """
    weights, sizes = _weights(strata), np.array([stratum.n for stratum in strata], dtype=np.float64)
    errors = np.array([stratum.n - stratum.truths[stratum.read] for stratum in strata], dtype=np.float64)
    value = min(max(float((weights * errors / sizes).sum()), 0.0), 1.0)
    n_effective = 1 / float((weights**2 / sizes).sum())
    if 0 < value < 1:
        # a stratum without an error in its sample may have some: one more item at the common rate
        rates = (errors + value) / (sizes + 1)
        variance = float((weights**2 * rates * (1 - rates) / sizes).sum())
        n_effective = min(n_effective, value * (1 - value) / variance)
    low, high = wilson(value * n_effective, n_effective, level)
    return ErrorRate(
        value=value, low=low, high=high, n=int(sizes.sum()), n_errors=int(errors.sum()), n_effective=n_effective
    )


def _weights(strata: Sequence[Stratum]) -> Reals:
    empty = [position for position, stratum in enumerate(strata) if stratum.n == 0]
    if empty or not strata:
        raise MetricError(f"{len(empty)} of {len(strata)} strata have no sampled answer; every stratum needs one")
    sizes = np.array([stratum.size for stratum in strata], dtype=np.float64)
    return np.asarray(sizes / sizes.sum())


def joint(strata: Sequence[Stratum]) -> Reals:
    """(K, K) J[truth, reading]: the share of all answers, weighted back."""
    shares = np.array([np.array(stratum.truths) / stratum.n for stratum in strata])
    return np.asarray(_assembled(strata, shares[None])[0])


def posterior(strata: Sequence[Stratum], n_draws: int, rng: np.random.Generator) -> Reals:
    """(D, K, K) draws of J."""
    n, n_codes = sum(stratum.n for stratum in strata), len(strata[0].truths)
    frequent = joint(strata).sum(axis=1) + 1 / n
    shares = np.empty((n_draws, len(strata), n_codes))
    for position, stratum in enumerate(strata):
        half = 0.5 * stratum.n / n
        prior = np.where(np.arange(n_codes) == stratum.read, 0.0, frequent)
        prior *= half / prior.sum()
        prior[stratum.read] = half
        shares[:, position] = rng.dirichlet(np.array(stratum.truths) + prior, size=n_draws)
    return _assembled(strata, shares)


def _assembled(strata: Sequence[Stratum], shares: Reals) -> Reals:
    """(D, H, K) shares of truths by stratum → (D, K, K)."""
    weights, n_codes = _weights(strata), shares.shape[-1]
    found = np.zeros((len(shares), n_codes, n_codes))
    for position, stratum in enumerate(strata):
        found[:, :, stratum.read] += weights[position] * shares[:, position]
    return found


def indistinct(table: Reals) -> Mask:
    """(…, K) truths that occur in a J, and that the parser reads as such less than CLEAR of the time."""
    share, right = table.sum(axis=-1), np.diagonal(table, axis1=-2, axis2=-1)
    return np.asarray((share > 0) & (right < CLEAR * share))


def unmixing(table: Reals) -> Reals:
    """(…, K, K) weights[reading, truth] that undo a J, or many: E⁻¹, each row of which sums to 1.

    E is undone among the truths that the parser reads clearly, which makes it diagonally dominant and its inverse
    bounded. An indistinct truth t, and a reading that is never true, go by J[t, j] / Σ_t J[t, j] alone, whatever the
    reference: their part of a score is adjusted less than it should be.

    >>> unmixing(np.array([[0.4, 0.1], [0.0, 0.5]])).round(2).tolist()
    [[1.25, -0.25], [0.0, 1.0]]
    """
    identity = np.eye(table.shape[-1])
    clear = (table.sum(axis=-1) > 0) & ~indistinct(table)
    both = clear[..., :, None] & clear[..., None, :]
    # a reading that does not occur in the sample occurs nowhere: every reading has a stratum
    by_reading = np.swapaxes(table, -1, -2)
    alone = _shares(by_reading, identity)
    inverse = np.linalg.inv(np.where(clear[..., :, None], _shares(table * both, identity), identity))
    kept = (alone * clear[..., None, :]).sum(axis=-1, keepdims=True)
    return np.asarray(np.where(both, kept * inverse, alone))


def _shares(rows: Reals, otherwise: Reals) -> Reals:
    """Rows divided by their sums; the rows of `otherwise` where there is nothing."""
    total = rows.sum(axis=-1, keepdims=True)
    return np.asarray(np.where(total > 0, rows / np.where(total > 0, total, 1), otherwise))


@dataclass(frozen=True, kw_only=True)
class Said:
    """One system's answers as a score would count them, whatever they truly said.

    by_truth: for each of the K truths, what every item adds if its answer said that. read: (n,) the parser's reading of
    each answer, or K for an answer without text, which is what it is: the last truth, none.
    """

    by_truth: Sequence[Contributions]
    read: Integers
    strata: Sequence[Stratum]


@dataclass(frozen=True, kw_only=True)
class Adjusted:
    """A score, or a difference of two, without the parser's errors, and its interval with the doubt about them.

    The limits are quantiles of: a draw from the posterior of the confusion, plus se_items (jackknife over the unit)
    times Student's t. parser_low, parser_high: of the draws alone, whose standard deviation is se_parser. read: as the
    parser reads. p: two-sided, of value / sqrt(se_items² + se_parser²); p_read: of the score as the parser reads, from
    its own jackknife alone.
    """

    value: float
    low: float
    high: float
    p: float
    read: float
    p_read: float
    se_items: float
    se_parser: float
    parser_low: float
    parser_high: float
    n_draws: int


def adjusted(
    systems: Sequence[Said], formula: Formula, unit: Unit, *, level: float = 0.95, n_draws: int = N_DRAWS, seed: int = 0
) -> Adjusted:
    """The score of one system, or the difference first − second of two on the same items, without parser errors."""
    proper = _proper(formula)
    point = [_mixed(system, unmixing(joint(system.strata))) for system in systems]
    found = blocks(tuple(point), unit)
    plain = blocks(tuple(_mixed(system, np.eye(len(system.by_truth))) for system in systems), unit)
    rng = np.random.default_rng(seed)
    drawn = [_drawn(system, proper, posterior(system.strata, n_draws, rng)) for system in systems]
    spread = drawn[0] if len(drawn) == 1 else drawn[0] - drawn[1]
    se_items, se_parser = jackknife_error(found, proper), float(spread.std(ddof=1))
    value, read = float(score(found, proper, found.totals)), float(score(plain, formula, plain.totals))
    se, df = math.hypot(se_items, se_parser), found.n_units - 1
    noise = np.array([t_quantile((k + 0.5) / N_NOISE, df) for k in range(N_NOISE)])
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile((spread[:, None] + se_items * noise).reshape(-1), tails, method="hazen")
    parser_low, parser_high = np.quantile(spread, tails, method="hazen")
    least = 0.0 if len(systems) == 1 else -1.0
    return Adjusted(
        value=value,
        low=max(min(float(low), value), least),
        high=min(max(float(high), value), 1.0),
        p=_p(value, se, df),
        read=read,
        p_read=_p(read, jackknife_error(plain, formula), df),
        se_items=se_items,
        se_parser=se_parser,
        parser_low=min(float(parser_low), value),
        parser_high=max(float(parser_high), value),
        n_draws=n_draws,
    )


def _p(value: float, se: float, df: int) -> float:
    if se == 0:
        return 1.0 if value == 0 else 0.0
    return 2 * t_cdf(-abs(value) / se, df)


def _proper(formula: Formula) -> Formula:
    """The formula where E⁻¹ has made a small total negative: nothing can be counted less than never."""

    def clipped(totals: Reals) -> Reals:
        return formula(np.maximum(totals, 0.0))

    return clipped


def _mixed(system: Said, weights: Reals) -> Contributions:
    """What each item adds to the totals with weights[reading, truth] on each truth."""
    kinds, rows = _by_truth(system)
    first, codes = distinct_rows(np.stack([kinds, system.read], axis=1))
    known = np.vstack([weights, np.eye(len(weights))[-1]])
    mixed = np.einsum("kt,ktm->km", known[system.read[first]], rows[kinds[first]])
    return replace(system.by_truth[0], codes=codes, rows=mixed)


def _drawn(system: Said, formula: Formula, tables: Reals) -> Reals:
    """(D,) scores under draws of J."""
    kinds, rows = _by_truth(system)
    n_codes = len(system.by_truth)
    counts = np.zeros((n_codes + 1, len(rows)))
    np.add.at(counts, (system.read, kinds), 1.0)
    sums = np.einsum("jk,ktm->jtm", counts, rows)
    weights = unmixing(tables)
    totals = np.einsum("djt,jtm->dm", weights, sums[:-1]) + sums[-1, -1]
    return formula(totals)


def _by_truth(system: Said) -> tuple[Integers, NDArray[np.float64]]:
    """Kinds of items (n,), and their rows (kinds, K, m) under each truth."""
    representatives, kinds = distinct_rows(np.stack([each.codes for each in system.by_truth], axis=1))
    rows = np.stack([each.rows[each.codes[representatives]] for each in system.by_truth], axis=1)
    return kinds, rows
