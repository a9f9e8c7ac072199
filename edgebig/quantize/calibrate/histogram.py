"""A histogram of a stream of values whose range grows with them, exactly: no count ever moves to a wrong bin.

The bins divide [-2^e, 2^e) evenly, so doubling the range merges neighbouring pairs of bins and nothing else. Binning is
exact as well (scaling by a power of two does not round), so the result does not depend on how the values were batched.
"""

import math

import numpy as np
from numpy.typing import NDArray

# Half of them serve each sign: a one-sided tensor, at worst just over a power of two, still has 2048 bins in use.
BINS = 8192
_MOST_BINS = 1 << 16
# Whatever is smaller than 2^-100 falls into the bins beside zero; bins per unit stay within float32.
SMALLEST_EXPONENT = -100


class Histogram:
    """Counts of the values seen so far; `edgebig.quantize.calibrate.stream.take_in` fills it.

    Args:
        bins: How many; a multiple of four.

    Attributes:
        counts: int64 [bins].
        exponent: The bins divide [-2^exponent, 2^exponent); None before the first value that is not zero.
    """

    def __init__(self, bins: int = BINS) -> None:
        if not 4 <= bins <= _MOST_BINS or bins % 4:
            raise ValueError(f"{bins} bins: the number must be a multiple of four from 4 to {_MOST_BINS}")
        self.counts = np.zeros(bins, np.int64)
        self.exponent: int | None = None

    @property
    def width(self) -> float:
        """The width of a bin."""
        return math.ldexp(2.0, self.exponent or 0) / self.counts.size

    @property
    def per_unit(self) -> float:
        """Bins per unit of the values, a power of two."""
        return math.ldexp(self.counts.size / 2, -(self.exponent or 0))

    def edges(self) -> NDArray:
        """The bins' edges, float64 [bins + 1]."""
        size = self.counts.size
        return (np.arange(size + 1) - size // 2) * self.width

    def centres(self) -> NDArray:
        """Middle of every bin, float64 [bins]."""
        size = self.counts.size
        return (np.arange(size) - size // 2 + 0.5) * self.width

    def hold(self, largest: float) -> None:
        """Grow until a magnitude, not 0, lies inside with both signs."""
        needed = max(math.frexp(largest)[1], SMALLEST_EXPONENT)  # largest < 2^needed
        if self.exponent is None:
            self.exponent = needed
        while self.exponent < needed:
            self._double()

    def _double(self) -> None:
        """Merge pairs of bins into the middle half."""
        size = self.counts.size
        pairs = self.counts.reshape(-1, 2).sum(axis=1)
        self.counts[:] = 0
        self.counts[size // 4 : size // 4 + size // 2] = pairs
        assert self.exponent is not None  # only a histogram with a range is doubled
        self.exponent += 1
