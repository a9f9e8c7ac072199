"""Oracles of calibration: histograms counted in one go over all values, ranges tried one by one."""

from collections.abc import Sequence
from fractions import Fraction


def histogram(values: Sequence[float], bins: int) -> tuple[list[int], int | None]:
    """Counts over the smallest [-2^e, 2^e) that holds all values, and e; None where all are zero.

    Exact: every value is a fraction.
    """
    counts = [0] * bins
    largest = max((abs(Fraction(value)) for value in values), default=Fraction(0))
    if largest == 0:
        counts[bins // 2] = len(values)
        return counts, None
    exponent = -100
    while Fraction(2) ** exponent <= largest:
        exponent += 1
    for value in values:
        counts[int(Fraction(value) / Fraction(2) ** exponent * (bins // 2) // 1) + bins // 2] += 1
    return counts, exponent


def squared_error(values: Sequence[float], low: float, high: float, levels: int) -> float:
    """Sum of squared errors of values quantized to the integers 0 to `levels` that span a range holding zero."""
    scale = (high - low) / levels
    zero = round(-low / scale)
    total = 0.0
    for value in values:
        integer = min(max(round(value / scale) + zero, 0), levels)
        total += ((integer - zero) * scale - value) ** 2
    return total
