"""Whether a series of times has settled: no trend, or none that matters.

The trend test is Mann's (Econometrica 13, 1945), also called Mann-Kendall: it counts the pairs that rise minus the
pairs that fall, so it needs no distribution and one wild value changes little.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Two-sided 5 % point of the normal distribution.
SIGNIFICANT = 1.96
# A trend smaller than this share of the median is steady enough for any use.
TOLERANCE = 0.01
# With fewer values the trend test cannot reach significance.
FEWEST = 5


def trend_score(values: Sequence[float] | NDArray) -> float:
    """Mann-Kendall's statistic in standard deviations: about N(0, 1) without a trend, negative when values fall.

    Args:
        values: At least two values, in the order they were measured.

    Returns:
        The score, with the continuity correction and the correction for ties; 0.0 when all values are equal.
    """
    series = np.asarray(values, dtype=np.float64)
    count = series.size
    signs = np.sign(series[None, :] - series[:, None])
    score = float(np.triu(signs, 1).sum())
    _, ties = np.unique(series, return_counts=True)
    variance = (count * (count - 1) * (2 * count + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance <= 0:
        return 0.0
    return float((score - np.sign(score)) / variance**0.5)


def relative_drift(values: Sequence[float] | NDArray) -> float:
    """How far the median of the second half lies from that of the first, as a share of the first."""
    series = np.asarray(values, dtype=np.float64)
    half = series.size // 2
    first, second = float(np.median(series[:half])), float(np.median(series[-half:]))
    return (second - first) / first if first else 0.0


def is_steady(values: Sequence[float] | NDArray, *, tolerance: float = TOLERANCE) -> bool:
    """Whether a series shows no significant trend, or drifts by less than `tolerance`.

    A series of fewer than `FEWEST` values is never called steady: nothing can be shown with it.
    """
    if len(values) < FEWEST:
        return False
    return bool(abs(trend_score(values)) < SIGNIFICANT or abs(relative_drift(values)) < tolerance)
