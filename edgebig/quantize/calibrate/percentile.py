"""The range that all but a given share of the values lie in, from the histogram."""

import numpy as np

from edgebig.quantize.calibrate.statistics import TensorStatistics

# Share of the values kept at each end.
KEPT = 0.99999


def percentile(statistics: TensorStatistics, low: float, high: float, levels: int) -> tuple[float, float]:
    """See `edgebig.quantize.calibrate.RangeMethod`. Of the bins that hold the limits, the outer edges are taken."""
    histogram = statistics.histogram
    assert histogram is not None  # this method is registered as one that needs it
    cumulative = np.cumsum(histogram.counts)
    total = int(cumulative[-1])
    first = int(np.searchsorted(cumulative, (1.0 - KEPT) * total, side="right"))
    last = int(np.searchsorted(cumulative, KEPT * total, side="left"))
    half = histogram.counts.size // 2
    outer_low = max((first - half) * histogram.width, statistics.low, low)
    outer_high = min((last + 1 - half) * histogram.width, statistics.high, high)
    return outer_low, outer_high
