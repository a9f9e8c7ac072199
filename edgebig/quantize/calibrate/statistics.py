"""What is remembered of a tensor while samples stream by: extremes, histogram, means of channels; never its values."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgebig.errors import InvalidDataError
from edgebig.quantize.calibrate.histogram import Histogram


@dataclass
class TensorStatistics:
    """Statistics of one tensor over all batches so far.

    Attributes:
        name: The tensor's name.
        low: Smallest value; infinity before the first.
        high: Largest value; minus infinity before the first.
        histogram: Counts of the values; None where the range method needs none.
        channel_axis: The axis whose means are wanted; None for none.
        count: Values per channel; counted where `channel_axis` is given.
        sums: Sum of the values of each channel, float64; None before the first.
        feeds: Batches taken in.
    """

    name: str
    low: float = np.inf
    high: float = -np.inf
    histogram: Histogram | None = field(default_factory=Histogram)
    channel_axis: int | None = None
    count: int = 0
    sums: NDArray | None = None
    feeds: int = 0

    def add(self, values: NDArray) -> None:
        """Take one batch's values in.

        Raises:
            InvalidDataError: They hold NaN or infinity: the float model itself fails on this sample.
        """
        self.feeds += 1
        if values.size == 0:
            return
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InvalidDataError(
                f"the float model gives NaN or infinity in tensor {self.name!r} on these samples. "
                f"Repair the model, or take samples it can handle."
            )
        self.low, self.high = min(self.low, low), max(self.high, high)
        if self.histogram is not None:
            self.histogram.add(values, max(-low, high, 0.0))
        if self.channel_axis is not None:
            rest = tuple(i for i in range(values.ndim) if i != self.channel_axis % values.ndim)
            sums = values.sum(axis=rest, dtype=np.float64)
            self.sums = sums if self.sums is None else self.sums + sums
            self.count += values.size // sums.size

    @property
    def means(self) -> NDArray:
        """The mean of every channel, float64."""
        if self.sums is None:
            raise ValueError(f"no means of tensor {self.name!r} were asked for")
        return self.sums / self.count

    @property
    def seen(self) -> bool:
        """Whether any value was taken in."""
        return self.low <= self.high
