"""Inner loops that choose scale and zero point of every block, and round to them.

All work on blocks [n, size]: `size` weights of one output that share a scale and a zero point. A weight w becomes
q = round(w / scale) + zero_point, clipped to 0 .. levels, and stands for scale * (q - zero_point).
"""

import numba
import numpy as np
from numpy.typing import NDArray

Real = np.float32 | float
# Of blocks of zeros: kernels that correct for zero points by sums leave rounding errors, times this.
ZERO_SCALE = np.float32(1e-30)
# Clipped ranges that the search tries, as shares of the whole range.
SHARES = (1.0, 0.92, 0.84, 0.76, 0.68)
# Half-quadratic splitting: the first weight of the quadratic term and its growth, and the rounds.
STIFFNESS, GROWTH, ROUNDS = 10.0, 1.05, 12
# Sums in any order, so that they run in vectors; infinities and NaN keep their meaning.
_SUMS = {"reassoc", "contract", "nsz"}


@numba.njit(nogil=True, cache=True)
def fit_range(blocks: NDArray, levels: int, symmetric: bool, scales: NDArray, points: NDArray) -> None:
    """The smallest scale that clips nothing; zero is always represented exactly.

    Args:
        blocks: float32 [n, size].
        levels: The largest integer: 15 or 255.
        symmetric: Whether the zero point is the middle, (levels + 1) / 2.
        scales: float32 [n], written; `ZERO_SCALE` for a block of zeros.
        points: uint8 [n], written.
    """
    middle = (levels + 1) // 2
    for i in range(blocks.shape[0]):
        low, high = np.float32(0.0), np.float32(0.0)
        for w in blocks[i]:
            low = min(low, w)
            high = max(high, w)
        if symmetric:
            scale = max(high / (middle - 1), -low / middle)
            point = middle
        else:
            # Halves first: the difference of two huge weights would overflow.
            scale = (high / 2 - low / 2) / (levels / 2)
            point = int(np.rint(-low / scale)) if scale > 0 else 0
        tiny = not scale > 1.2e-38  # subnormal scales have too few digits; such a block is zero for all purposes
        scales[i] = ZERO_SCALE if tiny else scale
        points[i] = middle if tiny else point


@numba.njit(nogil=True, cache=True)
def fit_least_squares(
    blocks: NDArray, levels: int, symmetric: bool, shares: NDArray, scales: NDArray, points: NDArray
) -> None:
    """Improve scales and zero points until the squared error is least: clipped ranges, then the best scale for the
    integers found.

    Args:
        blocks: float32 [n, size].
        levels: The largest integer.
        symmetric: Whether the zero point stays.
        shares: float32 [m], shares of the range to try.
        scales: float32 [n] from `fit_range`; changed.
        points: uint8 [n] from `fit_range`; changed.
    """
    for i in range(blocks.shape[0]):
        row = blocks[i]
        first, first_point = scales[i], int(points[i])
        best, _ = _error(row, first, first_point, levels)
        for share in shares:
            for shift in range(0 if symmetric else -1, 1 if symmetric else 2):
                point = first_point + shift
                if point < 0 or point > levels:
                    continue
                scale = np.float32(first * share)
                error, better = _error(row, scale, point, levels)
                if error < best:
                    best, scales[i], points[i] = error, scale, point
                if better > 0:
                    error, _ = _error(row, better, point, levels)
                    if error < best:
                        best, scales[i], points[i] = error, better, point


@numba.njit(nogil=True, cache=True)
def fit_half_quadratic(blocks: NDArray, levels: int, symmetric: bool, scales: NDArray, points: NDArray) -> None:
    """Improve scales and zero points by half-quadratic splitting of an lp norm of the error, p = 1/2.

    After Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models" (2023): errors are split into
    large ones, which the norm forgives, and the rest, which least squares takes up. Errors are counted in steps, the
    scale is fitted as well as the zero point, and the zero point stays an integer, as kernels want it.

    Args:
        blocks: float32 [n, size].
        levels: The largest integer.
        symmetric: Whether the zero point stays.
        scales: float32 [n] from `fit_range`; changed.
        points: uint8 [n] from `fit_range`; changed.
    """
    for i in range(blocks.shape[0]):
        row = blocks[i]
        scale, point = scales[i], int(points[i])
        best = _norm(row, scale, point, levels)
        stiffness = STIFFNESS
        for _ in range(ROUNDS):
            product, square, offset = _split(row, scale, point, levels, stiffness)
            if not product > 0:
                break
            if not symmetric:
                point = min(max(point + int(np.rint(offset / row.size)), 0), levels)
            scale = product / square
            error = _norm(row, scale, point, levels)
            if error < best:
                best, scales[i], points[i] = error, scale, point
            stiffness *= GROWTH


@numba.njit(nogil=True, cache=True)
def round_blocks(blocks: NDArray, scales: NDArray, points: NDArray, levels: int, integers: NDArray) -> float:
    """Round, and add the squared errors up.

    Args:
        blocks: float32 [n, size].
        scales: float32 [n].
        points: uint8 [n].
        levels: The largest integer.
        integers: uint8 [n, size], written.
    """
    total = 0.0
    for i in range(blocks.shape[0]):
        scale, point = scales[i], int(points[i])
        for j in range(blocks.shape[1]):
            q = _round(blocks[i, j], scale, point, levels)
            integers[i, j] = q
            error = np.float64(blocks[i, j]) - np.float64(scale) * np.float64(q - point)
            total += error * error
    return total


@numba.njit(nogil=True, cache=True, inline="always")
def _round(weight: Real, scale: Real, point: int, levels: int) -> Real:
    q = np.float32(np.rint(weight / scale) + np.float32(point))
    return min(max(q, np.float32(0.0)), np.float32(levels))


@numba.njit(nogil=True, cache=True, fastmath=_SUMS)
def _error(row: NDArray, scale: Real, point: int, levels: int) -> tuple[Real, Real]:
    """The squared error, and the scale that makes it least for the integers found."""
    error, product, square = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    low, high = -np.float32(point), np.float32(levels) - np.float32(point)  # a uint8 has no negative
    inverse = np.float32(1.0) / scale
    for j in range(row.size):
        w = row[j]
        centred = np.rint(w * inverse)
        centred = low if centred < low else centred
        centred = high if centred > high else centred
        difference = w - scale * centred
        error += difference * difference
        product += w * centred
        square += centred * centred
    return error, product / square if square > 0 else np.float32(0.0)


@numba.njit(nogil=True, cache=True, fastmath=_SUMS)
def _norm(row: NDArray, scale: Real, point: int, levels: int) -> Real:
    total = np.float32(0.0)
    low, high = -np.float32(point), np.float32(levels) - np.float32(point)  # a uint8 has no negative
    inverse = np.float32(1.0) / scale
    for j in range(row.size):
        centred = np.rint(row[j] * inverse)
        centred = low if centred < low else centred
        centred = high if centred > high else centred
        total += np.sqrt(np.abs(row[j] - scale * centred))
    return total


@numba.njit(nogil=True, cache=True, fastmath=_SUMS)
def _split(row: NDArray, scale: Real, point: int, levels: int, stiffness: Real) -> tuple[Real, Real, Real]:
    """Leave large errors out, and take the sums that fit scale and zero point to the rest.

    Returns:
        Sums of weight times integer, of squared integers, and of what the integers exceed the weights by, in steps.
    """
    product, square, offset = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    low, high = -np.float32(point), np.float32(levels) - np.float32(point)  # a uint8 has no negative
    inverse, weight = np.float32(1.0) / scale, np.float32(1.0 / stiffness)
    for j in range(row.size):
        steps = row[j] * inverse
        centred = np.rint(steps)
        centred = low if centred < low else centred
        centred = high if centred > high else centred
        residual = steps - centred
        size = np.abs(residual) + np.float32(1e-8)
        large = size - weight / np.sqrt(size)
        large = np.float32(0.0) if large < np.float32(0.0) else large
        steps -= large if residual > np.float32(0.0) else -large
        product += steps * centred
        square += centred * centred
        offset += centred - steps
    return product * scale, square, offset
