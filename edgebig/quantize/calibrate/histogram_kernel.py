"""The inner loop of the histogram."""

import math

import numba
from numpy.typing import NDArray


@numba.njit(nogil=True, cache=True)
def count_into_bins(values: NDArray, per_unit: float, counts: NDArray) -> None:
    """Add each value to its bin.

    Args:
        values: [n], finite; the caller has made the range hold them all.
        per_unit: Bins per unit of the values, a power of two.
        counts: int64 [bins]; bin `bins // 2` starts at zero.
    """
    half = counts.size // 2
    for i in range(values.size):
        counts[math.floor(values[i] * per_unit) + half] += 1
