"""The range that a given share of the values lies in, from the histogram; as much is cut off at each end.

The definition is onnxruntime's (`PercentileCalibrater`, not symmetric). Of the bins that hold the limits the outer
edges are taken, so that the range is never narrower than asked.
"""

from dataclasses import dataclass

import numpy as np

from edgebig.errors import UsageError
from edgebig.quantize.calibrate.statistics import TensorStatistics

DEFAULT = 99.999


@dataclass(frozen=True)
class Percentile:
    """A range method; see `edgebig.quantize.calibrate.RangeMethod`.

    Attributes:
        percent: Of the values, how many lie in the range; above 50, at most 100.

    Raises:
        UsageError: It is not between these.
    """

    percent: float = DEFAULT

    def __post_init__(self) -> None:
        if not 50 < self.percent <= 100:
            raise UsageError(f"the percentile is {self.percent}; it must be above 50 and at most 100, e.g. {DEFAULT}")

    def __call__(self, statistics: TensorStatistics, low: float, high: float, levels: int) -> tuple[float, float]:
        """Choose."""
        histogram = statistics.histogram
        assert histogram is not None  # this method is registered as one that needs it
        cumulative = np.cumsum(histogram.counts)
        cut = (100 - self.percent) / 200 * int(cumulative[-1])
        first = int(np.searchsorted(cumulative, cut, side="right"))
        last = min(int(np.searchsorted(cumulative, cumulative[-1] - cut, side="left")), cumulative.size - 1)
        edges = histogram.edges()
        return max(float(edges[first]), statistics.low, low), min(float(edges[last + 1]), statistics.high, high)
