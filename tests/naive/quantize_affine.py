"""Oracles of affine quantization: one number at a time, in Python's own arithmetic."""

import math
from collections.abc import Sequence
from fractions import Fraction


def round_half_even(value: float) -> int:
    """The nearest integer; of two equally near ones the even."""
    below = math.floor(value)
    rest = Fraction(value) - below
    if rest != Fraction(1, 2):
        return below + (rest > Fraction(1, 2))
    return below if below % 2 == 0 else below + 1


def quantize_one(value: float, scale: float, zero_point: int, lowest: int, highest: int) -> int:
    """QuantizeLinear of one number; `value / scale` is taken as given."""
    return min(max(round_half_even(value / scale) + zero_point, lowest), highest)


def pair_sums(rows: Sequence[Sequence[int]]) -> list[int]:
    """Per row, the largest magnitude of the sum of entries 2i and 2i + 1 (a last single one stands alone)."""
    return [max((abs(sum(row[i : i + 2])) for i in range(0, len(row), 2)), default=0) for row in rows]
