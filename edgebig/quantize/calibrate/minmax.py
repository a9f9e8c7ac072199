"""The range of all values seen: nothing is clipped, and one outlier widens every step."""

from edgebig.quantize.calibrate.statistics import TensorStatistics


def minmax(statistics: TensorStatistics, low: float, high: float, levels: int) -> tuple[float, float]:
    """See `edgebig.quantize.calibrate.RangeMethod`."""
    return max(statistics.low, low), min(statistics.high, high)
