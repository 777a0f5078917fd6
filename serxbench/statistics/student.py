"""Quantiles and tail probabilities of the normal and Student's t distribution, without scipy.

The standard library's `statistics.NormalDist` would do for the normal; it is not used because a script or a test folder
called `statistics` beside the caller hides that module.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

#: From here on t and the normal differ by less than 1e-5 at the usual levels, and the fraction below gets slow.
_MANY = 1e6


def normal_cdf(value: float) -> float:
    """Probability that a standard normal variable stays below `value`."""
    return 0.5 * math.erfc(-value / math.sqrt(2))


@lru_cache(maxsize=1024)
def normal_quantile(probability: float) -> float:
    """The value that a standard normal variable stays below with this probability (0 < p < 1).

    >>> round(normal_quantile(0.975), 6)
    1.959964
    """
    return _invert(normal_cdf, probability)


def _invert(cdf: Callable[[float], float], probability: float) -> float:
    """The quantile of a distribution symmetric about 0, by halving."""
    if probability > 0.5:  # the lower tail keeps its digits, 1 − p has lost them
        return -_invert(cdf, 1 - probability)
    low, high = -1.0, 0.0
    while cdf(low) > probability:
        low, high = 2 * low, low
    for _ in range(80):  # more steps than a float has digits
        middle = (low + high) / 2
        low, high = (middle, high) if cdf(middle) < probability else (low, middle)
    return (low + high) / 2


def t_cdf(value: float, df: float) -> float:
    """Probability that Student's t with `df` degrees of freedom stays below `value`.

    >>> round(t_cdf(2.0, 10), 6)
    0.963306
    """
    if df > _MANY:
        return normal_cdf(value)
    tail = 0.5 * _incomplete_beta(df / 2, 0.5, df / (df + value * value))
    return 1 - tail if value > 0 else tail


@lru_cache(maxsize=1024)
def t_quantile(probability: float, df: float) -> float:
    """The value that Student's t with `df` degrees of freedom stays below with this probability (0 < p < 1).

    >>> round(t_quantile(0.975, 29), 6)
    2.04523
    """
    if df > _MANY:
        return normal_quantile(probability)
    return _invert(lambda value: t_cdf(value, df), probability)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function I_x(a, b) by its continued fraction (Abramowitz & Stegun 26.5.8)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast only on the other side
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny = 1e-300
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1), tiny)
    fraction = d
    for m in range(1, 10_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + numerator * d, tiny)
            c = _away_from_zero(1 + numerator / c, tiny)
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction / a


def _away_from_zero(value: float, tiny: float) -> float:
    return tiny if abs(value) < tiny else value
