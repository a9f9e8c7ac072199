"""The range whose quantized distribution tells most about the real one: the smallest Kullback-Leibler divergence.

Of a candidate range the reference P is the histogram with what lies outside added to the outermost bins; Q is the part
inside, merged into as many groups as there are levels, each group's count spread evenly over its bins that are not
empty. Source: S. Migacz, 8-bit Inference with TensorRT, GTC 2017, as in MXNet and onnxruntime. Different from there:

- There are as many groups as the integers have levels, and many more bins: onnxruntime's default of 128 bins for 128
  groups leaves the full range as the only candidate.
- All candidates are tried: first ranges around zero, then each end on its own. One-sided tensors have one end.
- Groups divide the bins evenly; a remainder does not fall to the last one.
- The bin that holds zero counts as its neighbour: zero is an integer whatever the range, and after a ReLU half of the
  values would drown the others.
"""

import numpy as np
from numpy.typing import NDArray

from edgebig.quantize.calibrate.statistics import TensorStatistics

# Rounds of moving one end and the other.
_TURNS = 3


def entropy(statistics: TensorStatistics, low: float, high: float, levels: int) -> tuple[float, float]:
    """See `edgebig.quantize.calibrate.RangeMethod`."""
    histogram = statistics.histogram
    assert histogram is not None  # this method is registered as one that needs it
    lowest, highest = min(max(statistics.low, low), 0.0), max(min(statistics.high, high), 0.0)
    if histogram.exponent is None or lowest == highest:
        return lowest, highest
    zero = histogram.counts.size // 2
    first = zero + int(np.floor(lowest * histogram.per_unit))
    end = min(max(zero + int(np.floor(highest * histogram.per_unit)) + 1, zero), histogram.counts.size)
    counts = histogram.counts.astype(np.float64)
    # What readers clip anyway loses nothing at the edge.
    counts[first] += counts[:first].sum()
    counts[end - 1] += counts[end:].sum()
    counts[:first] = counts[end:] = 0
    _level_zero(counts, zero, first, end)
    best_first, best_end = best_window(counts, zero, first, end, levels + 1)
    edges = histogram.edges()
    return max(float(edges[best_first]), lowest), min(float(edges[best_end]), highest)


def best_window(counts: NDArray, zero: int, first: int, end: int, groups: int) -> tuple[int, int]:
    """Bins [first, end) whose quantized distribution diverges least.

    Args:
        counts: float64 [bins]; none outside of [first, end).
        zero: The first bin that is not below zero.
        first: First bin that the range may hold, at most `zero`.
        end: The bin after the last, at least `zero`.
        groups: Levels of the integers.
    """
    from edgebig.quantize.calibrate.entropy_kernel import divergences

    positive = np.maximum(counts, 1.0)
    sums = [np.concatenate([[0.0], np.cumsum(x)]) for x in (counts, counts > 0, counts * np.log(positive))]

    def best(firsts: NDArray, ends: NDArray) -> tuple[int, int]:
        # Fewer bins than groups would be no quantization at all.
        wide = (ends - firsts >= groups) | ((firsts == first) & (ends == end))
        firsts, ends = firsts[wide], ends[wide]
        index = int(np.argmin(divergences(counts, sums[0], sums[1], sums[2], firsts, ends, groups)))
        return int(firsts[index]), int(ends[index])

    reach = np.arange(1, max(zero - first, end - zero) + 1)
    found = best(np.maximum(zero - reach, first), np.minimum(zero + reach, end))
    if first == zero or end == zero:
        return found
    for _ in range(_TURNS):
        before = found
        ends = np.append(np.arange(zero + 1, end + 1), found[1])
        found = best(np.full(ends.size, found[0]), ends)
        firsts = np.append(np.arange(first, zero), found[0])
        found = best(firsts, np.full(firsts.size, found[1]))
        if found == before:
            break
    return found


def _level_zero(counts: NDArray, zero: int, first: int, end: int) -> None:
    neighbour = zero + 1 if zero + 1 < end else zero - 1
    if first <= neighbour < end and zero < end:
        counts[zero] = min(counts[zero], counts[neighbour])
