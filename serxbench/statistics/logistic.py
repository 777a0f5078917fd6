"""Logistic regression with standard errors that know which rows belong together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from serxbench.errors import MetricError
from serxbench.metrics.arrays import Integers, Reals
from serxbench.statistics.student import t_quantile

_MAX_STEPS = 200
_MAX_HALVINGS = 30
_TOLERANCE = 1e-10


@dataclass(frozen=True, kw_only=True)
class LogisticFit:
    """A fitted model. covariance: of the coefficients, from clusters of rows (sandwich), G / (G − 1) included.

    converged: the score is zero to rounding. Where it is not, no number of the fit means anything.
    """

    coefficients: Reals
    covariance: Reals
    n_clusters: int
    converged: bool

    def interval(self, value: float, gradient: ArrayLike, level: float) -> tuple[float, float, float]:
        """Standard error, lower and upper limit of a function of the coefficients with this gradient (delta method)."""
        slope = np.asarray(gradient, dtype=np.float64)
        se = float(np.sqrt(max(float(slope @ self.covariance @ slope), 0.0)))
        half = t_quantile((1 + level) / 2, self.n_clusters - 1) * se
        return se, value - half, value + half


def sigmoid(values: ArrayLike) -> Reals:
    """1 / (1 + e^−x), without overflow.

    >>> sigmoid([-1000.0, 0.0, 1000.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    x = np.asarray(values, dtype=np.float64)
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def fit_logistic(design: Reals, outcomes: Reals, clusters: Integers, ridge: Reals) -> LogisticFit:
    """The model logit P(y = 1) = design · β, by Newton's method on the log-likelihood − Σ ridge_k β_k² / 2.

    outcomes: 0 to 1; a tie is 0.5, which makes it a quasi-likelihood, and the sandwich is right for that too.
    clusters: of each row, whole numbers. Raises MetricError with fewer than two clusters.
    """
    _, members = np.unique(clusters, return_inverse=True)
    members = members.reshape(-1)
    n_clusters = int(np.max(members, initial=-1)) + 1
    if n_clusters < 2:
        raise MetricError(f"{n_clusters} item with verdicts: errors clustered by item need two or more")
    beta, converged = _maximise(design, outcomes, ridge)
    p = sigmoid(design @ beta)
    information = (design * (p * (1 - p))[:, None]).T @ design + np.diag(ridge)
    scores = np.zeros((n_clusters, design.shape[1]))
    np.add.at(scores, members, design * (outcomes - p)[:, None])
    bread = np.linalg.pinv(information)
    covariance = bread @ (scores.T @ scores) @ bread * n_clusters / (n_clusters - 1)
    return LogisticFit(coefficients=beta, covariance=covariance, n_clusters=n_clusters, converged=converged)


def _maximise(design: Reals, outcomes: Reals, ridge: Reals) -> tuple[Reals, bool]:
    """The coefficients and whether they are a maximum; a step that would not climb is halved."""
    beta = np.zeros(design.shape[1])
    value = _objective(design, outcomes, ridge, beta)
    for _ in range(_MAX_STEPS):
        p = sigmoid(design @ beta)
        score = design.T @ (outcomes - p) - ridge * beta
        if np.abs(score).max(initial=0.0) < _TOLERANCE * max(1.0, float(len(outcomes))):
            return beta, True
        information = (design * (p * (1 - p))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.lstsq(information, score, rcond=None)[0]
        for _ in range(_MAX_HALVINGS):
            reached = _objective(design, outcomes, ridge, beta + step)
            if reached >= value - 1e-12 * abs(value):
                break
            step = step / 2
        else:
            return beta, False
        beta, value = beta + step, reached
    return beta, False


def _objective(design: Reals, outcomes: Reals, ridge: Reals, beta: Reals) -> float:
    x = design @ beta
    return float((outcomes * x - np.logaddexp(0.0, x)).sum() - (ridge * beta * beta).sum() / 2)
