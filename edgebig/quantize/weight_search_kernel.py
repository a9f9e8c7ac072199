"""The inner loops of the search for weight scales."""

import math

import numba
import numpy as np
from numpy.typing import NDArray

# Which weights a kernel adds up in 16 bits: none, columns 2i and 2i + 1, or any two of a row.
NO_PAIRS, NEIGHBOURS, ANY_TWO = 0, 1, 2
_PAIR_LIMIT = 128


@numba.njit(nogil=True, cache=True)
def _clip(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)


@numba.njit(nogil=True, cache=True)
def _fit_pair(u: float, v: float, hu: float, hv: float, limit: float) -> tuple[float, float]:
    """The integers nearest to u and v, in the importance-weighted squares, whose sum is within 128."""
    a, b = _clip(np.rint(u), limit), _clip(np.rint(v), limit)
    if abs(a + b) <= _PAIR_LIMIT:
        return a, b
    total = math.copysign(_PAIR_LIMIT, a + b)
    share = 0.5 if hu + hv <= 0.0 else hu / (hu + hv)
    # On the line a + b = total the squares are smallest here.
    sign = math.copysign(1.0, total)
    b = np.rint(share * (total - u) + (1.0 - share) * v)
    b = sign * min(max(sign * b, _PAIR_LIMIT - limit), limit)
    return total - b, b


@numba.njit(nogil=True, cache=True)
def _ceiling(row: NDArray, scale: float, limit: float, sign: float) -> float:
    """Where values of one sign are cut, so that no two of them exceed 128 together."""
    first = second = 0.0
    for value in row:
        size = sign * value / scale
        if size > first:
            first, second = size, first
        elif size > second:
            second = size
    first, second = min(np.rint(first), limit), min(np.rint(second), limit)
    if first + second <= _PAIR_LIMIT:
        return limit
    return max(_PAIR_LIMIT - second, _PAIR_LIMIT / 2)


@numba.njit(nogil=True, cache=True)
def round_row(row: NDArray, scale: float, importance: NDArray, limit: float, pairs: int, out: NDArray) -> None:
    """Round one row to integers that obey the rule of pairs.

    Args:
        row: float32 [n].
        scale: Its scale.
        importance: float32 [n], how much an error in each column weighs.
        limit: The largest integer.
        pairs: NO_PAIRS, NEIGHBOURS or ANY_TWO.
        out: float32 [n], filled with integers.
    """
    if pairs == NEIGHBOURS:
        for i in range(0, row.size - 1, 2):
            out[i], out[i + 1] = _fit_pair(row[i] / scale, row[i + 1] / scale, importance[i], importance[i + 1], limit)
        if row.size % 2:
            out[row.size - 1] = _clip(np.rint(row[row.size - 1] / scale), limit)
        return
    high = low = limit
    if pairs == ANY_TWO:
        high, low = _ceiling(row, scale, limit, 1.0), _ceiling(row, scale, limit, -1.0)
    for i in range(row.size):
        out[i] = min(max(np.rint(row[i] / scale), -low), high)


@numba.njit(nogil=True, cache=True)
def _error(row: NDArray, scale: float, importance: NDArray, integers: NDArray) -> float:
    total = 0.0
    for i in range(row.size):
        difference = row[i] - scale * integers[i]
        total += importance[i] * difference * difference
    return total


@numba.njit(nogil=True, cache=True)
def search_scales(
    rows: NDArray, importance: NDArray, candidates: NDArray, limit: float, pairs: int, scales: NDArray
) -> None:
    """Give every row the candidate scale with the smallest error.

    Args:
        rows: float32 [rows, n].
        importance: float32 [groups, n]; the rows belong to the groups in equal, consecutive shares.
        candidates: float32 [rows, candidates].
        limit: The largest integer.
        pairs: NO_PAIRS, NEIGHBOURS or ANY_TWO.
        scales: float32 [rows], filled.
    """
    integers = np.empty(rows.shape[1], np.float32)
    for i in range(rows.shape[0]):
        weights = importance[i * importance.shape[0] // rows.shape[0]]
        best = np.inf
        scales[i] = candidates[i, -1]
        for scale in candidates[i]:
            round_row(rows[i], scale, weights, limit, pairs, integers)
            error = _error(rows[i], scale, weights, integers)
            if error < best:
                best = error
                scales[i] = scale


@numba.njit(nogil=True, cache=True)
def round_rows(
    rows: NDArray, importance: NDArray, scales: NDArray, limit: float, pairs: int, integers: NDArray
) -> None:
    """Round all rows; see `round_row` and `search_scales`. `integers` is float32 [rows, n], filled."""
    for i in range(rows.shape[0]):
        weights = importance[i * importance.shape[0] // rows.shape[0]]
        round_row(rows[i], scales[i], weights, limit, pairs, integers[i])
