"""Extremes and first moments of channels, over batches."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Moments:
    """What is remembered of each channel.

    Attributes:
        low: Smallest value, float32 [channels].
        high: Largest value, float32 [channels].
        sums: Sum, float64 [channels].
        squares: Sum of squares, float64 [channels].
        count: Values of each channel.
    """

    low: NDArray
    high: NDArray
    sums: NDArray
    squares: NDArray
    count: int

    def add(self, other: "Moments") -> None:
        """Take in those of further values of the same channels."""
        np.minimum(self.low, other.low, out=self.low)
        np.maximum(self.high, other.high, out=self.high)
        self.sums += other.sums
        self.squares += other.squares
        self.count += other.count


def moments(extremes: NDArray, sums: NDArray, *, count: int, inner: int) -> Moments:
    """Read what the kernels gather.

    Args:
        extremes: The largest and the smallest bits as signed integers, and the largest as unsigned ones,
            int64 [3, channels * inner].
        sums: Sums of values and of squares, float64, likewise [2, ...].
        count: Values of each channel.
        inner: Neighbouring entries that belong to one channel.
    """
    highest, lowest, farthest = extremes
    # Where no value is negative, the smallest has the smallest bits; else it has the largest as unsigned ones.
    low = np.where(farthest >= 1 << 31, farthest, lowest).astype(np.uint32).view(np.float32)
    # Where all are negative, the largest has the smallest bits as signed ones.
    high = np.where(highest >= 0, highest, lowest).astype(np.int32).view(np.float32)
    if inner > 1:
        low, high = low.reshape(-1, inner).min(axis=1), high.reshape(-1, inner).max(axis=1)
        sums = sums.reshape(2, -1, inner).sum(axis=2)
    return Moments(low, high, sums[0], sums[1], count)
