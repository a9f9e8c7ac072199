"""Take a batch of values into a histogram and into moments of channels, in one walk over the memory."""

import math
import threading
from functools import cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from edgebig.quantize.calibrate.histogram import Histogram
from edgebig.quantize.calibrate.moments import Moments, moments

# Rows shorter than this are no good for vectors; neighbouring channels then go side by side.
_SHORT_ROW = 16
_INFINITY = np.uint32(0x7F800000)
_scratch = threading.local()


def take_in(
    values: NDArray, histogram: Histogram | None, axis: int | None, *, every: int = 1, phase: int = 0
) -> Moments | None:
    """Count values, and find their extremes and moments. Several threads may fill different histograms at once.

    Args:
        values: float32, contiguous, not empty.
        histogram: Gets the counts; its range grows as needed. None counts nothing.
        axis: The axis that counts channels; None takes the whole as one channel.
        every: One block of 4096 values in so many is counted, that many times; extremes and moments are of all.
        phase: Chooses the blocks; it should change from batch to batch.

    Returns:
        The moments of these values; None where one of them is NaN or infinite. Some may have been counted by then.
    """
    kernels = _kernels()
    outer, channels, inner = _layout(values.shape, axis)
    in_rows = inner >= _SHORT_ROW or channels == 1
    size = channels if in_rows else channels * inner
    shaped = values.reshape((outer * channels, inner) if in_rows else (outer, size))
    if not in_rows:
        stream = kernels.stream_columns
    else:
        stream = kernels.stream_rows if inner >= kernels.BLOCK else kernels.stream_short_rows
    extremes, sums = np.empty((3, size), np.int64), np.zeros((2, size))
    extremes[0], extremes[1], extremes[2] = -(1 << 31), (1 << 31) - 1, 0
    bins, tables = _buffers(histogram.counts.size if histogram else 4)
    begin = 0
    while True:
        limit, per_unit = _range(histogram)
        begin, magnitude = stream(shaped, begin, limit, per_unit, every, phase, bins, tables, extremes, sums)
        if histogram is not None:
            kernels.flush(tables, every, per_unit, extremes, histogram.counts)
        if magnitude == 0:
            return moments(extremes, sums, count=values.size // channels, inner=1 if in_rows else inner)
        if magnitude >= _INFINITY or histogram is None:
            return None
        histogram.hold(float(np.uint32(magnitude).view(np.float32)))


def _layout(shape: tuple[int, ...], axis: int | None) -> tuple[int, int, int]:
    """Sizes before, of and after the axis of channels."""
    if axis is None or not shape:
        return 1, 1, math.prod(shape)
    place = axis % len(shape)
    return math.prod(shape[:place]), shape[place], math.prod(shape[place + 1 :])


def _range(histogram: Histogram | None) -> tuple[np.uint32, np.float32]:
    """Bits of the magnitude that no value may reach, and bins per unit (0 where nothing is counted)."""
    if histogram is None:
        return _INFINITY, np.float32(0)
    if histogram.exponent is None:
        return np.uint32(1), np.float32(1)  # zeros go to their bin in any range
    if histogram.exponent > np.finfo(np.float32).maxexp - 1:
        return _INFINITY, np.float32(histogram.per_unit)
    return np.uint32(np.float32(math.ldexp(1.0, histogram.exponent)).view(np.uint32)), np.float32(histogram.per_unit)


def _buffers(bins: int) -> tuple[NDArray, NDArray]:
    """What counting works in, one set for each thread: a block of bins' numbers, and tables of zeros."""
    kernels = _kernels()
    kept: dict[int, tuple[NDArray, NDArray]] = _scratch.__dict__.setdefault("kept", {})
    if bins not in kept:
        kept[bins] = np.zeros(kernels.BLOCK, np.uint16), np.zeros((kernels.TABLES, bins), np.uint32)
    return kept[bins]


@cache
def _kernels() -> ModuleType:
    """Numba is loaded when something is counted, not when a command shows its help."""
    from edgebig.quantize.calibrate import stream_kernels

    return stream_kernels
