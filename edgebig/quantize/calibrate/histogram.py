"""A histogram of a stream of values whose range grows with them, exactly: no count ever moves to a wrong bin.

The bins divide [-2^e, 2^e) evenly, so doubling the range merges neighbouring pairs of bins and nothing else. Binning is
exact as well (scaling by a power of two does not round), so the result does not depend on how the values were batched.
"""

import math

import numpy as np
from numpy.typing import NDArray

# Half of them serve each sign: a one-sided tensor, at worst just over a power of two, still has 2048 bins in use.
BINS = 8192
# 2^-126 is the smallest normal float32; whatever is smaller falls into the bins beside zero.
_SMALLEST_EXPONENT = -126


class Histogram:
    """Counts of the values seen so far.

    Args:
        bins: How many; a multiple of four.

    Attributes:
        counts: int64 [bins].
        exponent: The bins divide [-2^exponent, 2^exponent); None before the first value that is not zero.
    """

    def __init__(self, bins: int = BINS) -> None:
        if bins < 4 or bins % 4:
            raise ValueError(f"{bins} bins: the number must be a multiple of four")
        self.counts = np.zeros(bins, np.int64)
        self.exponent: int | None = None

    def add(self, values: NDArray, largest: float) -> None:
        """Count values.

        Args:
            values: Any shape, finite floats.
            largest: The largest magnitude among them (the caller has it from the minimum and the maximum).
        """
        if largest == 0.0:
            # Zero stays in this bin whatever the range will be.
            self.counts[self.counts.size // 2] += values.size
            return
        # Numba is loaded when something is counted, not when a command shows its help.
        from edgebig.quantize.calibrate.histogram_kernel import count_into_bins

        self._hold(largest)
        assert self.exponent is not None  # set by _hold
        per_unit = math.ldexp(self.counts.size / 2, -self.exponent)
        count_into_bins(np.ascontiguousarray(values).reshape(-1), per_unit, self.counts)

    @property
    def width(self) -> float:
        """The width of a bin."""
        return math.ldexp(2.0, self.exponent or 0) / self.counts.size

    def centres(self) -> NDArray:
        """Middle of every bin, float64 [bins]."""
        size = self.counts.size
        return (np.arange(size) - size // 2 + 0.5) * self.width

    def _hold(self, largest: float) -> None:
        """Grow until `largest` (and its negative) lie inside."""
        needed = max(math.frexp(largest)[1], _SMALLEST_EXPONENT)  # largest < 2^needed
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
