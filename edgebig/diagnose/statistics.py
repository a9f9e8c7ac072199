"""What is kept of one tensor while samples stream by: its range, by channel too, and its errors."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgebig.diagnose.error_sums import ErrorSums
from edgebig.diagnose.ranges import Grid

# Additive masks write a number below this where nothing may be seen, so far below all others that what it is exactly
# means nothing: at least this many times as far from zero as they are.
MASK_LEVEL = -9000.0
MASK_GAP = 20.0


def unmasked(array: NDArray) -> NDArray[np.bool_]:
    """Which numbers of a float tensor count: finite, and not those by which an additive mask hides a position."""
    finite: NDArray[np.bool_] = np.isfinite(array)
    lowest = float(array.min(where=finite, initial=0.0)) if array.size else 0.0
    if lowest > MASK_LEVEL:
        return finite
    seen = finite & (array > lowest / 2)
    largest = float(np.abs(array).max(where=seen, initial=0.0))
    return seen if seen.any() and largest * MASK_GAP < -lowest else finite


@dataclass
class TensorFacts:
    """All that is known of one tensor.

    Attributes:
        name: Its name in the float model.
        axis: The axis of its channels; None for vectors and scalars.
        grid: The numbers that its stored integers can be; None where it is not quantized with one constant scale.
        low: Smallest number in the float model that counts.
        high: Largest.
        floor: Smallest finite number, masked ones included.
        clipped: Numbers outside of what the integers can be.
        count: Numbers that count.
        masked: Numbers hidden by a mask.
        integral: Whether all numbers are whole.
        peaks: Largest absolute value by channel.
        cumulative: The quantized model's own tensor against the float model's.
        own: The quantized layer fed with the float model's tensors, against the float model's.
        rounded: The float model's tensor in the stored integers, against itself.
    """

    name: str
    axis: int | None = None
    grid: Grid | None = None
    low: float = float("inf")
    high: float = float("-inf")
    floor: float = float("inf")
    clipped: int = 0
    count: int = 0
    masked: int = 0
    integral: bool = True
    peaks: NDArray | None = None
    cumulative: ErrorSums = field(default_factory=ErrorSums)
    own: ErrorSums = field(default_factory=ErrorSums)
    rounded: ErrorSums = field(default_factory=ErrorSums)

    def add(self, reference: NDArray, cumulative: NDArray | None, own: NDArray | None) -> None:
        """Take the arrays of one feed: the float model's, the quantized model's, the layer's own."""
        counts = unmasked(reference)
        axis = self.axis if self.axis is not None and reference.ndim > self.axis else None
        self._add_values(reference, counts, axis)
        if cumulative is not None:
            self.cumulative.add(reference, cumulative, counts)
        if own is not None:
            self.own.add(reference, own, counts, axis)
        if self.grid is not None:
            self.rounded.add(reference, self.grid.rounded(reference), counts, axis)

    def _add_values(self, array: NDArray, counts: NDArray, axis: int | None) -> None:
        seen, finite = array[counts], int(np.isfinite(array).sum())
        self.masked += finite - seen.size
        self.count += seen.size
        if finite:
            self.floor = min(self.floor, float(array.min(where=np.isfinite(array), initial=np.inf)))
        if not seen.size:
            return
        self.low, self.high = min(self.low, float(seen.min())), max(self.high, float(seen.max()))
        self.integral = self.integral and bool((seen == np.rint(seen)).all())
        if self.grid is not None:
            slack = self.grid.scale
            self.clipped += int(np.count_nonzero((seen < self.grid.low - slack) | (seen > self.grid.high + slack)))
        if axis is not None:
            rest = tuple(index for index in range(array.ndim) if index != axis)
            peaks = np.abs(np.where(counts, array, 0)).max(axis=rest)
            if self.peaks is None:
                self.peaks = peaks
            elif self.peaks.shape == peaks.shape:
                self.peaks = np.maximum(self.peaks, peaks)

    @property
    def clipped_share(self) -> float:
        """Share of the numbers outside of what the integers can be, by more than a step."""
        return self.clipped / self.count if self.count else 0.0

    @property
    def span(self) -> float:
        """Width of the numbers seen, zero included."""
        return max(self.high, 0.0) - min(self.low, 0.0) if self.count else 0.0
