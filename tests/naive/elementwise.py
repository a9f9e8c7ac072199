"""Sums and products of quantized tensors, one element at a time, in exact arithmetic."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def second(b: NDArray, row: int, column: int, rows: int) -> object:
    """The element of a broadcast second operand that belongs to a row and column of the first."""
    return b[row // (rows // b.shape[0]), column if b.shape[1] > 1 else 0]


def exact_sum(a: NDArray, b: NDArray, scales: tuple[float, float], points: tuple[int, int]) -> list[list[Fraction]]:
    """(a - zero point) * scale + (b - zero point) * scale, not rounded; scales are taken as float32."""
    left, right = (Fraction(float(np.float32(scale))) for scale in scales)
    return [
        [
            (int(a[r, c]) - points[0]) * left + (int(second(b, r, c, len(a))) - points[1]) * right
            for c in range(a.shape[1])
        ]
        for r in range(len(a))
    ]


def exact_product(a: NDArray, b: NDArray, scale: float, points: tuple[int, int]) -> list[list[Fraction]]:
    """(a - zero point) * (b - zero point) * scale, not rounded; the scale is taken as float32."""
    factor = Fraction(float(np.float32(scale)))
    return [
        [(int(a[r, c]) - points[0]) * (int(second(b, r, c, len(a))) - points[1]) * factor for c in range(a.shape[1])]
        for r in range(len(a))
    ]


def clipped(values: list[list[Fraction]], zero_point: int, low: int, high: int) -> NDArray:
    """Rounded half to even, moved and clamped."""
    return np.array([[min(max(round(value) + zero_point, low), high) for value in row] for row in values], np.uint8)


def near_half(values: list[list[Fraction]], distance: float) -> NDArray:
    """Which values lie so near a half that another order of float32 operations may round them the other way."""
    return np.array([[abs(value - (value.__floor__() + Fraction(1, 2))) < distance for value in row] for row in values])
