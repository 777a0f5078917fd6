"""Intervals for a share that are never of width zero: a sample without an error is no proof that there is none."""

from __future__ import annotations

import math

from serxbench.errors import MetricError
from serxbench.statistics.student import normal_quantile


def wilson(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of the share successes / n.

    Both may be fractions: half a success for a tie, or an effective number of items where items are alike or weighted.
    Raises MetricError unless 0 ≤ successes ≤ n and n > 0.

    >>> [round(100 * limit, 2) for limit in wilson(0, 300)]
    [0.0, 1.26]
    """
    if not (0 <= successes <= n and n > 0):
        raise MetricError(f"{successes:g} of {n:g}: wanted a part of a positive number")
    if not 0 < level < 1:
        raise MetricError(f"level {level}: wanted a share between 0 and 1, such as 0.95")
    share, z2 = successes / n, normal_quantile((1 + level) / 2) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return (0.0 if successes == 0 else max(0.0, centre - half)), (1.0 if successes == n else min(1.0, centre + half))
