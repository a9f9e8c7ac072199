"""The quantization error of many candidate ranges over a histogram."""

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "nsz", "contract"})
def squared_errors(centres: NDArray, counts: NDArray, lows: NDArray, highs: NDArray, levels: int) -> NDArray:
    """Sum of squared errors of values at the bins' centres, by candidate.

    Args:
        centres: float64 [bins].
        counts: float64 [bins].
        lows: float64 [candidates], 0 or less.
        highs: float64 [candidates], 0 or more.
        levels: Steps from the smallest to the largest integer.
    """
    errors = np.empty(lows.size)
    for candidate in range(lows.size):
        scale = (highs[candidate] - lows[candidate]) / levels
        if scale <= 0:
            errors[candidate] = np.inf
            continue
        per_scale = 1.0 / scale
        zero = np.rint(-lows[candidate] * per_scale)
        error = 0.0
        for i in range(centres.size):
            integer = min(max(np.rint(centres[i] * per_scale) + zero, 0.0), np.float64(levels))
            off = (integer - zero) * scale - centres[i]
            error += off * off * counts[i]
        errors[candidate] = error
    return errors
