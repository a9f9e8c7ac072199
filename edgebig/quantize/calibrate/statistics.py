"""What is remembered of a tensor while samples stream by: extremes, histogram, moments of channels; no values."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgebig.errors import InvalidDataError
from edgebig.quantize.calibrate.histogram import Histogram
from edgebig.quantize.calibrate.moments import Moments
from edgebig.quantize.calibrate.stream import take_in

# Up to so many values the histogram counts all. Of further batches it counts one block in so many, with that weight:
# a tail of one in 100,000 already holds dozens of values, and counting takes longer than all else.
COUNT_ALL = 1 << 21
COUNT_EVERY = 4


@dataclass
class TensorStatistics:
    """Statistics of one tensor over all batches so far.

    Attributes:
        name: The tensor's name.
        low: Smallest value; infinity before the first.
        high: Largest value; minus infinity before the first.
        histogram: Counts of the values, of large tensors a part of them (see COUNT_ALL); None where no range method
            needs them.
        channel_axis: The axis whose channels are looked at one by one; None for none.
        channels: What is known of them; None where there is no such axis, nothing was seen yet, or the number of
            channels changed from batch to batch.
        feeds: Batches taken in.
        count: Values taken in.
    """

    name: str
    low: float = np.inf
    high: float = -np.inf
    histogram: Histogram | None = field(default_factory=Histogram)
    channel_axis: int | None = None
    channels: Moments | None = None
    feeds: int = 0
    count: int = 0

    def add(self, values: NDArray) -> None:
        """Take one batch's values in.

        Args:
            values: Numbers of any shape; they are looked at as float32.

        Raises:
            InvalidDataError: They hold NaN or infinity: the float model itself fails on this sample. The statistics
                are of no use any more.
        """
        self.feeds += 1
        if values.size == 0:
            return
        axis = self.channel_axis if values.ndim else None
        every = 1 if self.count < COUNT_ALL else COUNT_EVERY
        found = take_in(np.ascontiguousarray(values, np.float32), self.histogram, axis, every=every, phase=self.feeds)
        if found is None:
            raise InvalidDataError(
                f"the float model gives NaN or infinity in tensor {self.name!r} on these samples. "
                f"Repair the model, or take samples it can handle."
            )
        first = self.count == 0
        self.low, self.high = min(self.low, float(found.low.min())), max(self.high, float(found.high.max()))
        self.count += values.size
        if axis is None:
            self.channels = None
        elif first:
            self.channels = found
        elif self.channels is not None and self.channels.low.size == found.low.size:
            self.channels.add(found)
        else:
            self.channels = None

    @property
    def means(self) -> NDArray:
        """The mean of every channel, float64 [channels]."""
        return self._known.sums / self._known.count

    @property
    def mean_squares(self) -> NDArray:
        """The mean square of every channel, float64 [channels]."""
        return self._known.squares / self._known.count

    @property
    def channel_low(self) -> NDArray:
        """The smallest value of every channel, float32 [channels]."""
        return self._known.low

    @property
    def channel_high(self) -> NDArray:
        """The largest value of every channel, float32 [channels]."""
        return self._known.high

    @property
    def seen(self) -> bool:
        """Whether any value was taken in."""
        return self.low <= self.high

    @property
    def _known(self) -> Moments:
        if self.channels is None:
            raise ValueError(f"nothing is known of the channels of tensor {self.name!r}: see the attribute `channels`")
        return self.channels
