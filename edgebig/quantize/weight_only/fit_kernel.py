"""Inner loops that choose scale and zero point of every block, and round to them.

All work on blocks [n, size]: `size` weights of one output that share a scale and a zero point. A weight w becomes
q = round(w / scale) + zero_point, clipped to 0 .. levels, and stands for scale * (q - zero_point).
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

# Clipped ranges that the search tries, as shares of the whole range.
SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6)
# Half-quadratic splitting: the norm's exponent, the first weight of the quadratic term and its growth, and the rounds.
NORM, STIFFNESS, GROWTH, ROUNDS = 0.7, 10.0, 1.01, 20


@numba.njit(nogil=True, cache=True)
def fit_range(blocks: NDArray, levels: int, symmetric: bool, scales: NDArray, points: NDArray) -> None:
    """The smallest scale that clips nothing; zero is always represented exactly.

    Args:
        blocks: float32 [n, size].
        levels: The largest integer: 15 or 255.
        symmetric: Whether the zero point is the middle, (levels + 1) / 2.
        scales: float32 [n], written; 1 for a block of zeros.
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
        scales[i] = 1.0 if tiny else scale
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
def fit_half_quadratic(
    blocks: NDArray, levels: int, symmetric: bool, norm: float, scales: NDArray, points: NDArray
) -> None:
    """Improve scales and zero points by half-quadratic splitting of an lp norm of the error, p < 1.

    After Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models" (2023): errors are split into
    large ones, which the norm forgives, and the rest, which least squares takes up. Errors are counted in steps, the
    scale is fitted as well as the zero point, and the zero point stays an integer, as kernels want it.

    Args:
        blocks: float32 [n, size].
        levels: The largest integer.
        symmetric: Whether the zero point stays.
        norm: p.
        scales: float32 [n] from `fit_range`; changed.
        points: uint8 [n] from `fit_range`; changed.
    """
    size = blocks.shape[1]
    kept = np.empty(size, np.float32)
    for i in range(blocks.shape[0]):
        row = blocks[i]
        scale, point = scales[i], int(points[i])
        best = _norm(row, scale, point, levels, norm)
        stiffness = STIFFNESS
        for _ in range(ROUNDS):
            product, square, offset = 0.0, 0.0, 0.0
            for j in range(size):
                centred = _round(row[j], scale, point, levels) - point
                residual = row[j] / scale - centred
                large = _shrink(residual, stiffness, norm)
                kept[j] = row[j] - large * scale
                product += kept[j] * centred
                square += centred * centred
                offset += centred - kept[j] / scale
            if product <= 0.0:
                break
            if not symmetric:
                point = min(max(point + int(np.rint(offset / size)), 0), levels)
            scale = np.float32(product / square)
            error = _norm(row, scale, point, levels, norm)
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
            error = float(blocks[i, j]) - float(scale) * (q - point)
            total += error * error
    return total


@numba.njit(nogil=True, cache=True, inline="always")
def _round(weight: float, scale: float, point: int, levels: int) -> int:
    return min(max(int(np.rint(weight / scale)) + point, 0), levels)


@numba.njit(nogil=True, cache=True)
def _error(row: NDArray, scale: float, point: int, levels: int) -> tuple[float, float]:
    """The squared error, and the scale that makes it least for the integers found."""
    error, product, square = 0.0, 0.0, 0.0
    for w in row:
        centred = _round(w, scale, point, levels) - point
        difference = w - scale * centred
        error += difference * difference
        product += w * centred
        square += centred * centred
    return error, np.float32(product / square) if square > 0 else np.float32(0.0)


@numba.njit(nogil=True, cache=True)
def _norm(row: NDArray, scale: float, point: int, levels: int, norm: float) -> float:
    total = 0.0
    for w in row:
        total += math.pow(abs(w - scale * (_round(w, scale, point, levels) - point)), norm)
    return total


@numba.njit(nogil=True, cache=True)
def _shrink(residual: float, stiffness: float, norm: float) -> float:
    size = abs(residual)
    if size < 1e-8:
        return 0.0
    left = size - math.pow(size, norm - 1.0) / stiffness
    return math.copysign(max(left, 0.0), residual)
