"""The engine: everything is a function of linear totals (see `serxbench.metrics.totals`).

Units (items, or speakers with all their items) that add the same row to the totals are one block: K distinct rows w_k
with multiplicities n_k, N = Σ n_k. Nothing below depends on the number of items any more, and nothing is approximate:

    bootstrap    drawing N units with replacement gives block counts n* ~ Multinomial(N, n / N);  T* = n* W
    permutation  swapping two systems on every unit with probability ½ leaves M = T_A + T_B and makes
                 T_A − T_B into Σ_k (2 x_k − n_k) d_k,  x_k ~ Binomial(n_k, ½),  d_k = w_k^A − w_k^B;
                 units with the same ±d_k are one block
    influence    u_k = derivative of the score along w_k;  SE² = N/(N−1) Σ n_k u_k²   (delta method, sandwich)
    jackknife    θ_(k) = g(T − w_k), with multiplicity n_k
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serxbench.errors import MetricError
from serxbench.metrics.arrays import Integers, Reals, distinct_rows, same_length
from serxbench.metrics.totals import Contributions, Formula
from serxbench.statistics.units import Unit

#: Resamples that are drawn at a time: bounds the memory, and is part of the seed's meaning.
CHUNK = 1_000

#: A block this large is drawn by one binomial; below, drawing its units one by one is cheaper.
_LARGE = 8

#: Single units that are drawn at a time: few enough for the processor's cache.
_MAX_DRAWN = 100_000

#: Numbers that are held in memory at a time.
_MAX_HELD = 5_000_000


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Distinct rows of totals (K, n_systems · m) of the units, and how many units have each (K,)."""

    rows: Reals
    sizes: Integers
    n_systems: int

    @property
    def n_units(self) -> int:
        """N: items or clusters."""
        return int(self.sizes.sum())

    @property
    def totals(self) -> Reals:
        """The sum over all units, (n_systems · m,)."""
        return np.asarray(self.sizes @ self.rows, dtype=np.float64)


def blocks(systems: tuple[Contributions, ...], unit: Unit) -> Blocks:
    """The blocks of one system, or of several systems on the same items. Independent of the order of the items.

    Raises MetricError if the systems are not scored on the same items and references, or if there is only one unit.
    """
    first = systems[0]
    for other in systems[1:]:
        if other.n_items != first.n_items or other.fingerprint != first.fingerprint:
            raise MetricError(
                f"the systems are scored on different items or references ({first.n_items} and {other.n_items} items); "
                "a paired comparison needs the same selection for all of them"
            )
    representatives, codes = _joint(systems)
    rows = np.hstack([system.rows[system.codes[representatives]] for system in systems])
    if unit.clusters is None:
        sizes = np.bincount(codes, minlength=len(rows))
    else:
        same_length(items=codes, clusters=unit.clusters)
        rows = _cluster_totals(rows, codes, unit.clusters)
        sizes = np.ones(len(rows), dtype=np.intp)
    if sizes.sum() < 2:
        raise MetricError(f"one {unit.name} only: nothing can be said about others; wanted two or more")
    return _merge(rows, sizes, len(systems))


def _joint(systems: tuple[Contributions, ...]) -> tuple[Integers, Integers]:
    return distinct_rows(np.stack([system.codes for system in systems], axis=1))


def _cluster_totals(rows: Reals, codes: Integers, clusters: Integers) -> Reals:
    """(G, m) sums over the items of each cluster. Counted first, so that they do not depend on the items' order."""
    pairs, pair = distinct_rows(np.stack([clusters, codes], axis=1))
    counts = np.bincount(pair)
    of, code = clusters[pairs], codes[pairs]
    totals = [np.bincount(of, counts * column[code]) for column in rows.T]
    return np.asarray(np.stack(totals, axis=1), dtype=np.float64)


def _merge(rows: Reals, sizes: Integers, n_systems: int) -> Blocks:
    """Equal rows become one block; the largest blocks come first, equally large ones in the order of their rows."""
    order = np.lexsort(rows.T[::-1])
    rows, sizes = rows[order], sizes[order]
    starts = np.flatnonzero(np.append(True, (rows[1:] != rows[:-1]).any(axis=1)))
    rows, sizes = rows[starts], np.add.reduceat(sizes, starts)
    order = np.argsort(-sizes, kind="stable")
    return Blocks(rows=rows[order], sizes=sizes[order], n_systems=n_systems)


def chunks(n_resamples: int, n_blocks: int = 1) -> Iterator[int]:
    """Sizes of the portions in which resamples of `n_blocks` numbers each are drawn."""
    size = max(1, min(CHUNK, _MAX_HELD // max(1, n_blocks)))
    for start in range(0, n_resamples, size):
        yield min(size, n_resamples - start)


def bootstrap_totals(found: Blocks, n_resamples: int, rng: np.random.Generator) -> Iterator[Reals]:
    """Totals of resampled data, in portions of (≤ CHUNK, n_systems · m)."""
    for size in chunks(n_resamples, len(found.sizes)):
        yield block_counts(found.sizes, size, rng) @ found.rows


def block_counts(sizes: Integers, n_draws: int, rng: np.random.Generator) -> Reals:
    """(n_draws, K) draws from Multinomial(N, n / N), `sizes` in descending order.

    The multinomial sampler pays for blocks, drawing single units pays for units: the large blocks, and all small ones
    together, are drawn by the first, and what fell on the small ones is dealt out by the second. Same distribution.
    """
    n, n_large = int(sizes.sum()), int((sizes >= _LARGE).sum())
    width = len(sizes) - n_large
    drawn = np.empty((n_draws, len(sizes)))
    small = np.repeat(np.arange(width), sizes[n_large:])
    shares = np.append(sizes[:n_large], len(small)) / n
    portion = max(1, _MAX_DRAWN // max(1, len(small)))
    for start in range(0, n_draws, portion):
        rows = drawn[start : start + portion]
        counted = rng.multinomial(n, shares, size=len(rows))
        rows[:, :n_large] = counted[:, :-1]
        if width:
            chosen = small[rng.integers(0, len(small), size=int(counted[:, -1].sum()), dtype=np.int32)]
            chosen += np.repeat(np.arange(len(rows)) * width, counted[:, -1])
            rows[:, n_large:] = np.bincount(chosen, minlength=len(rows) * width).reshape(len(rows), width)
    return drawn


def permuted_pairs(found: Blocks, n_resamples: int, rng: np.random.Generator) -> Iterator[tuple[Reals, Reals]]:
    """Totals of the two systems after swapping them on each unit with probability ½, in portions.

    Draws do not depend on which system comes first: exchanging them exchanges the totals and nothing else.
    """
    first, second = np.split(found.totals, 2)
    rows, sizes = _differences(found)
    n_many = int((sizes > 1).sum())
    for size in chunks(n_resamples):
        signs = np.empty((size, len(sizes)))
        signs[:, :n_many] = 2.0 * rng.binomial(sizes[:n_many], 0.5, size=(size, n_many)) - sizes[:n_many]
        signs[:, n_many:] = 2.0 * _coins(size, len(sizes) - n_many, rng) - 1.0
        difference = signs @ rows
        yield (first + second + difference) / 2, (first + second - difference) / 2


def _coins(n_rows: int, n_columns: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Fair zeros and ones."""
    width = -(-n_columns // 8)
    packed = rng.integers(0, 256, size=(n_rows, width), dtype=np.uint8)
    return np.unpackbits(packed, axis=1)[:, :n_columns]


def _differences(found: Blocks) -> tuple[Reals, Integers]:
    """The distinct d_k = w_k^A − w_k^B up to sign, without zeros, and how many units have each."""
    first, second = np.split(found.rows, 2, axis=1)
    rows = first - second
    moving = rows.any(axis=1)
    rows, sizes = rows[moving], found.sizes[moving]
    if not len(rows):
        return rows, sizes
    leading = rows[np.arange(len(rows)), (rows != 0).argmax(axis=1)]
    merged = _merge(rows * np.sign(leading)[:, None], sizes, 1)
    return merged.rows, merged.sizes


def score(found: Blocks, formula: Formula, totals: Reals) -> Reals:
    """The score of one system, or the difference of two, at totals of shape (…, n_systems · m)."""
    if found.n_systems == 1:
        return formula(totals)
    first, second = np.split(totals, 2, axis=-1)
    return formula(first) - formula(second)


def influence(found: Blocks, formula: Formula) -> Reals:
    """(K,) u_k: how fast the score (or difference) moves as weight is added to block k; Σ_k n_k u_k = 0.

    A central difference along the row itself, so that any formula of the totals has a delta method without a derivative
    of its own. Its relative error is (step × the largest share of a block in any total)², below 1e-8.
    """
    step = 1e-4
    ahead = score(found, formula, found.totals + step * found.rows)
    behind = score(found, formula, found.totals - step * found.rows)
    moves = np.asarray((ahead - behind) / (2 * step))
    return np.asarray(moves - (found.sizes * moves).sum() / found.n_units)


def standard_error(found: Blocks, formula: Formula) -> float:
    """SE by the delta method: sqrt(N/(N−1) Σ n_k u_k²); with clusters as units this is the sandwich estimator.

    For macro-F1 of single labels it is the variance of Takahashi et al. 2022 (doi 10.1007/s10489-021-02635-5).
    """
    n = found.n_units
    moves = influence(found, formula)
    return float(np.sqrt(n / (n - 1) * (found.sizes * moves**2).sum()))


def acceleration(found: Blocks, formula: Formula) -> float:
    """BCa's acceleration: Σ n_k u_k³ / (6 (Σ n_k u_k²)^{3/2}), u_k = mean of the leave-one-out scores − θ_(k)."""
    left_out = score(found, formula, found.totals - found.rows)
    moves = (found.sizes * left_out).sum() / found.n_units - left_out
    spread = float((found.sizes * moves**2).sum())
    return float((found.sizes * moves**3).sum() / (6 * spread**1.5)) if spread > 0 else 0.0


def jackknife_error(found: Blocks, formula: Formula) -> float:
    """SE by leaving out one unit at a time: sqrt((N−1)/N Σ n_k (θ_(k) − mean)²); with clusters, CV3 of MacKinnon et al.

    Never much below the delta method's, and above it where a few units carry a class: there it is the better one.
    """
    left_out = score(found, formula, found.totals - found.rows)
    n = found.n_units
    away = left_out - (found.sizes * left_out).sum() / n
    return float(np.sqrt((n - 1) / n * (found.sizes * away**2).sum()))


def gradient(found: Blocks, formula: Formula, totals: Reals) -> Reals:
    """Derivatives of the score (or difference) by each of the `totals`, in their shape, by central differences."""
    slopes = np.empty_like(totals)
    for column in range(totals.shape[-1]):
        step = np.zeros(totals.shape[-1])
        step[column] = 1e-4
        ahead, behind = score(found, formula, totals + step), score(found, formula, totals - step)
        slopes[..., column] = (ahead - behind) / 2e-4
    return slopes
