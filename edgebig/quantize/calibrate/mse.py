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
# Squared errors; higher powers clip less.
POWER = 2.0


def mse(statistics: TensorStatistics, low: float, high: float, levels: int) -> tuple[float, float]:
    """See `edgebig.quantize.calibrate.RangeMethod`."""
    histogram = statistics.histogram
    assert histogram is not None  # this method is registered as one that needs it
    low, high = min(max(statistics.low, low), 0.0), max(min(statistics.high, high), 0.0)
    occupied = histogram.counts > 0
    # What lies beyond the given limits may be clipped for free.
    centres = np.clip(histogram.centres()[occupied], low, high)
    counts = histogram.counts[occupied].astype(np.float64)
    best = low, high, _error(centres, counts, low, high, levels)
    for _ in range(TURNS):
        before = best
        for candidate in GRID * low if low < 0 else ():
            best = min(best, (candidate, best[1], _error(centres, counts, candidate, best[1], levels)), key=_cost)
        for candidate in GRID * high if high > 0 else ():
            best = min(best, (best[0], candidate, _error(centres, counts, best[0], candidate, levels)), key=_cost)
        if best == before:
            break
    return float(best[0]), float(best[1])


def _cost(candidate: tuple[float, float, float]) -> float:
    return candidate[2]


def _error(centres: NDArray, counts: NDArray, low: float, high: float, levels: int) -> float:
    """Sum of |error|^POWER of values at the bins' centres, quantized to `levels` + 1 integers from `low` to `high`."""
    scale = (high - low) / levels
    if scale <= 0:
        return np.inf
    zero = np.rint(-low / scale)
    integers = np.clip(np.rint(centres / scale) + zero, 0, levels)
    return float((np.abs((integers - zero) * scale - centres) ** POWER * counts).sum())
