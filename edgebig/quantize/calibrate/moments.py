"""Extremes and first moments of channels, over batches."""

from dataclasses import dataclass
from typing import Self

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

    @classmethod
    def from_bits(
        cls,
        highest: NDArray,
        lowest: NDArray,
        farthest: NDArray,
        sums: NDArray,
        squares: NDArray,
        *,
        count: int,
        inner: int,
        row: int,
    ) -> Self:
        """Read what the kernels gather.

        Args:
            highest: Largest bits as signed integers, int32 [channels * inner].
            lowest: Smallest bits as signed integers, likewise.
            farthest: Largest bits as unsigned integers, uint32, likewise.
            sums: Sums, float64, likewise.
            squares: Sums of squares, likewise.
            count: Rows that were taken in.
            inner: Neighbouring entries that belong to one channel.
            row: Values of a row that went into an entry.
        """
        # Where no value is negative, the smallest has the smallest bits; else it has the largest as unsigned ones.
        low = np.where(farthest >= 1 << 31, farthest.view(np.int32), lowest).view(np.float32)
        # Where all are negative, the largest has the smallest bits as signed ones.
        high = np.where(highest >= 0, highest, lowest).view(np.float32)
        if inner > 1:
            low, high = low.reshape(-1, inner).min(axis=1), high.reshape(-1, inner).max(axis=1)
            sums, squares = sums.reshape(-1, inner).sum(axis=1), squares.reshape(-1, inner).sum(axis=1)
        return cls(low, high, sums, squares, count * inner * row)

    def add(self, other: "Moments") -> None:
        """Take in those of further values of the same channels."""
        np.minimum(self.low, other.low, out=self.low)
        np.maximum(self.high, other.high, out=self.high)
        self.sums += other.sums
        self.squares += other.squares
        self.count += other.count
