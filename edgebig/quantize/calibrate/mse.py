"""The range whose quantization error is smallest over the histogram: it weighs clipping against the step's width.

The search starts from the extremes and moves one end at a time along a grid, which ends where no move helps.
"""

import numpy as np
from numpy.typing import NDArray

from edgebig.quantize.calibrate.statistics import TensorStatistics

# Candidates for one end, as shares of its extreme.
GRID = np.linspace(1.0, 0.1, 91)
# Turns of moving both ends; the second hardly ever moves anything.
TURNS = 3


def mse(statistics: TensorStatistics, low: float, high: float, levels: int) -> tuple[float, float]:
    """See `edgebig.quantize.calibrate.RangeMethod`."""
    from edgebig.quantize.calibrate.mse_kernel import squared_errors

    histogram = statistics.histogram
    assert histogram is not None  # this method is registered as one that needs it
    low, high = min(max(statistics.low, low), 0.0), max(min(statistics.high, high), 0.0)
    occupied = histogram.counts > 0
    # What lies beyond the given limits may be clipped for free.
    centres = np.clip(histogram.centres()[occupied], low, high)
    counts = histogram.counts[occupied].astype(np.float64)

    def best(lows: NDArray, highs: NDArray) -> tuple[float, float]:
        index = int(np.argmin(squared_errors(centres, counts, lows, highs, levels)))
        return float(lows[index]), float(highs[index])

    found = low, high
    for _ in range(TURNS):
        before = found
        if low < 0:
            lows = np.append(found[0], GRID * low)
            found = best(lows, np.full(lows.size, found[1]))
        if high > 0:
            highs = np.append(found[1], GRID * high)
            found = best(np.full(highs.size, found[0]), highs)
        if found == before:
            break
    return found
