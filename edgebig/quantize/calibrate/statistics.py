"""What is remembered of a tensor while samples stream by: its extremes and a histogram, never its values."""

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
    """

    name: str
    low: float = np.inf
    high: float = -np.inf
    histogram: Histogram | None = field(default_factory=Histogram)

    def add(self, values: NDArray) -> None:
        """Take one batch's values in.

        Raises:
            InvalidDataError: They hold NaN or infinity: the float model itself fails on this sample.
        """
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

    @property
    def seen(self) -> bool:
        """Whether any value was taken in."""
        return self.low <= self.high
