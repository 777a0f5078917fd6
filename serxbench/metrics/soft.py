"""Soft-label scores: how far a model's distribution over answers is from the annotators' votes.

    p = V / n the annotators' shares, q = S / s the shares of the model's sampled answers (or its
    probabilities)
    sqdist_unbiased  Σ V(V−1)/(n(n−1)) + Σ S(S−1)/(s(s−1)) − 2 Σ V S/(n s)   expectation ‖π − ρ‖², zero iff π
    = ρ
    sqdist_plugin    Σ (p − q)²
    jsd              H((p + q)/2) − H(p)/2 − H(q)/2, in bits
    tv               Σ |p − q| / 2
    cross_entropy    −Σ p log2((S + ½)/(s + K/2)), in bits

All but the first have a floor that no model can pass, because p and q are counted from a few votes and
samples. JSD is therefore given with its floor and with what another panel of annotators would score; compare
systems at equal s only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from serxbench.errors import MetricError
from serxbench.metrics.agreement import krippendorff_alpha
from serxbench.metrics.arrays import Integers, Reals, counts, same_length
from serxbench.metrics.totals import ratio


@dataclass(frozen=True, kw_only=True)
class SoftScores:
    """Means over items. A score that cannot be computed is None, never a number.

    n: items. n_pairs: items with two votes or more, over which `sqdist_unbiased` runs (None with one sample
    per item).
    cross_entropy: None if given probabilities rule out a class that annotators chose. samples: (least, most)
    answers per item, None for probabilities. jsd_floor: a perfect model with as many samples; jsd_panel: as
    many new annotators.
    """

    sqdist_unbiased: float | None
    sqdist_plugin: float
    jsd: float
    jsd_floor: float | None
    jsd_panel: float | None
    tv: float
    cross_entropy: float | None
    n: int
    n_pairs: int
    samples: tuple[int, int] | None


def soft_labels(
    votes: ArrayLike,
    samples: ArrayLike | None = None,
    *,
    probabilities: ArrayLike | None = None,
    seed: int = 0,
) -> SoftScores:
    """All soft-label scores of one system, from sampled answers or from probabilities.

    votes: (n, K) counts; K decides what Other is: keep its column on both sides, or leave it out on both
    sides.
    samples: (n, K) or (n, K + 1) counts of the model's answers; the extra column counts failed answers, a
    class that no annotator ever chooses, so that a failure costs and is never dropped. probabilities: (n, K),
    rows sum to 1. Raises MetricError for items without votes or samples.

    >>> scores = soft_labels([[4, 1], [0, 5]], [[8, 2], [0, 10]])
    >>> scores.jsd, scores.tv, round(scores.sqdist_unbiased, 4)
    (0.0, 0.0, -0.0578)
    """
    panel = _with_rows(counts(votes, name="votes"), "votes")
    n_classes = panel.shape[1]
    model, numbers = _model(samples, probabilities)
    same_length(votes=panel, answers=model)
    if numbers is not None and model.shape[1] == n_classes + 1:
        panel = np.column_stack([panel, np.zeros(len(panel), np.intp)])
    if model.shape[1] != panel.shape[1]:
        raise MetricError(f"{model.shape[1]} answer columns for {n_classes} vote columns")
    shares = _shares(panel)
    paired = panel.sum(axis=1) > 1
    unbiased = unbiased_squared_distance(panel[paired], model[paired], None if numbers is None else numbers[paired])
    entropy = cross_entropy(shares, model, numbers, n_classes)
    return SoftScores(
        sqdist_unbiased=None if unbiased is None or not paired.any() else float(unbiased.mean()),
        sqdist_plugin=float(((shares - model) ** 2).sum(axis=1).mean()),
        jsd=float(jensen_shannon(shares, model).mean()),
        jsd_floor=jensen_shannon_floor(panel, numbers, seed=seed),
        jsd_panel=jensen_shannon_floor(panel, panel.sum(axis=1), seed=seed),
        tv=float(np.abs(shares - model).sum(axis=1).mean() / 2),
        cross_entropy=float(entropy.mean()) if np.isfinite(entropy).all() else None,
        n=len(panel),
        n_pairs=int(paired.sum()),
        samples=None if numbers is None else (int(numbers.min()), int(numbers.max())),
    )


def _model(samples: ArrayLike | None, probabilities: ArrayLike | None) -> tuple[Reals, Integers | None]:
    """The model's shares, and its number of samples per item (None for probabilities)."""
    if (samples is None) == (probabilities is None):
        raise MetricError("wanted either samples or probabilities, and not both")
    if samples is None:
        return _probabilities(probabilities), None
    answers = _with_rows(counts(samples, name="samples"), "samples")
    return _shares(answers), answers.sum(axis=1)


def _with_rows(table: Integers, name: str) -> Integers:
    empty = np.flatnonzero(table.sum(axis=1) == 0)
    if empty.size:
        raise MetricError(
            f"{name}: {empty.size} items have none (the first is item {empty[0]}); leave items without votes "
            "out, and give failed answers a column of their own"
        )
    return table


def _shares(table: Integers) -> Reals:
    return np.asarray(table / table.sum(axis=1, keepdims=True), dtype=np.float64)


def _probabilities(values: ArrayLike | None) -> Reals:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all() or (table < 0).any():
        raise MetricError(f"probabilities of shape {table.shape}: wanted items × classes, finite and not negative")
    off = np.flatnonzero(~np.isclose(table.sum(axis=1), 1, atol=1e-4))
    if off.size:
        raise MetricError(f"probabilities of item {off[0]} sum to {table[off[0]].sum():.6g}, wanted 1")
    return np.asarray(table / table.sum(axis=1, keepdims=True))


def unbiased_squared_distance(votes: Integers, model: Reals, numbers: Integers | None) -> Reals | None:
    """Per item; None if an item has one sample only. numbers: samples per item, None for exact probabilities.

    The plug-in Σq² of s samples exceeds its expectation by (1 − Σρ²)/s; Σ S(S−1)/(s(s−1)) = (s Σq² − 1)/(s −
    1).
    """
    n = votes.sum(axis=1)
    shares = _shares(votes)
    own = (n * (shares**2).sum(axis=1) - 1) / (n - 1)
    theirs = (model**2).sum(axis=1)
    if numbers is not None:
        if (numbers < 2).any():
            return None
        theirs = (numbers * theirs - 1) / (numbers - 1)
    return np.asarray(own + theirs - 2 * (shares * model).sum(axis=1))


def _entropy(shares: Reals) -> Reals:
    return np.asarray(-(shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=-1))


def jensen_shannon(first: Reals, second: Reals) -> Reals:
    """Jensen-Shannon divergence per row, in bits (0 to 1).

    >>> jensen_shannon(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])).tolist()
    [1.0]
    """
    mixed = _entropy((first + second) / 2)
    return np.asarray(np.maximum(mixed - (_entropy(first) + _entropy(second)) / 2, 0.0))


def cross_entropy(shares: Reals, model: Reals, numbers: Integers | None, n_classes: int) -> Reals:
    """Cross-entropy per row in bits. Sampled answers are smoothed by ½ for each class; probabilities are not."""
    if numbers is not None:
        size = numbers[:, None]
        model = (model * size + 0.5) / (size + n_classes / 2)
    with np.errstate(divide="ignore"):
        logs = np.log2(model)
    return np.asarray(-np.where(shares > 0, shares * np.where(shares > 0, logs, 0.0), 0.0).sum(axis=1))


def jensen_shannon_floor(votes: ArrayLike, numbers: Integers | None, *, seed: int = 0, draws: int = 20) -> float | None:
    """Mean JSD of a perfect model: one that answers from the distribution that an item's votes came from.

    numbers: answers per item, None for exact probabilities; with numbers = n it is what a new panel scores.
    That distribution is not known: it is drawn, `draws` times per item, from Dirichlet(V + A π) with π the
    shares in the corpus and A = (1 − α)/α the concentration that Krippendorff's α implies for a
    Dirichlet-multinomial. None where α is undefined (no item with two votes, or one class only).
    """
    table = counts(votes, name="votes")
    pairable = table[table.sum(axis=1) > 1].sum(axis=0)
    if (pairable > 0).sum() < 2:
        return None
    alpha = float(np.clip(krippendorff_alpha(table), 1e-3, 1 - 1e-3))
    table = table[:, table.sum(axis=0) > 0]
    shares = _shares(table)
    posterior = table + table.sum(axis=0) / table.sum() * (1 - alpha) / alpha
    rng = np.random.default_rng(seed)
    total = 0.0
    for _ in range(draws):
        gamma = rng.standard_gamma(posterior)
        answers = gamma / gamma.sum(axis=1, keepdims=True)
        if numbers is not None:
            answers = _shares(rng.multinomial(numbers, answers).astype(np.intp))
        total += float(jensen_shannon(shares, answers).mean())
    return total / draws


def vote_entropy(votes: ArrayLike) -> Reals:
    """Entropy of each item's vote shares, in bits: the ambiguity that tables can be stratified by.

    >>> vote_entropy([[2, 2], [4, 0]]).tolist()
    [1.0, 0.0]
    """
    return _entropy(_shares(_with_rows(counts(votes, name="votes"), "votes"))) + 0.0


def entropy_terciles(votes: ArrayLike) -> Integers:
    """0, 1 or 2 for each item: its third of the items by vote entropy; equal entropies stay together."""
    entropy = vote_entropy(votes)
    return np.asarray(np.searchsorted(np.quantile(entropy, [1 / 3, 2 / 3]), entropy, side="left"), dtype=np.intp)


def calibration_error(votes: ArrayLike, probabilities: ArrayLike, *, bins: int = 10) -> tuple[float, ...]:
    """Calibration error per class: Σ_b n_b/n |mean probability − mean vote share| over equal-width bins."""
    shares = _shares(_with_rows(counts(votes, name="votes"), "votes"))
    model = _probabilities(probabilities)
    same_length(votes=shares, probabilities=model)
    place = np.minimum((model * bins).astype(np.intp), bins - 1)
    errors = []
    for c in range(model.shape[1]):
        size = np.bincount(place[:, c], minlength=bins).astype(np.float64)
        gap = np.bincount(place[:, c], model[:, c] - shares[:, c], minlength=bins).astype(np.float64)
        errors.append(float((size * np.abs(ratio(gap, size))).sum() / len(model)))
    return tuple(errors)
