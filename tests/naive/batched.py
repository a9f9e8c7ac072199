"""Oracle of the product of two matrices: loops over Python's own numbers, exact for integers."""

import math
from collections.abc import Sequence

from tests.naive.quantize_affine import round_half_even


def product(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> list[list[float]]:
    """The sums of products of rows of a and columns of b."""
    columns = list(zip(*b, strict=True))
    return [[math.fsum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in a]


def requantize(value: float, zero_point: int, low: int, high: int) -> int:
    """clip(round(value) + zero_point, low, high), round half to even."""
    return min(max(round_half_even(value) + zero_point, low), high)
