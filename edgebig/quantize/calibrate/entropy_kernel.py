"""The divergence of many candidate ranges, each in as many steps as there are groups, from sums over the histogram.

Within a group Q is the same for all bins, so the group adds P(group) log Q to the divergence however many bins it has;
sums up to each bin give the group's count, its bins that are not empty, and the sum of P log P.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

# What Q gives a bin that P has something in and Q nothing: the smoothing of MXNet and onnxruntime, in counts.
_SMOOTH = 1e-4


@numba.njit(nogil=True, cache=True)
def divergences(
    counts: NDArray,
    count_sums: NDArray,
    occupied_sums: NDArray,
    log_sums: NDArray,
    firsts: NDArray,
    ends: NDArray,
    groups: int,
) -> NDArray:
    """Kullback-Leibler divergence of each candidate, in nats.

    Args:
        counts: float64 [bins], some of them above 0.
        count_sums: float64 [bins + 1], the sum of all counts before each bin.
        occupied_sums: float64 [bins + 1], how many bins before each hold something.
        log_sums: float64 [bins + 1], the sum of count x log(count) before each.
        firsts: int64 [candidates], each candidate's first bin.
        ends: int64 [candidates], the bin after its last, which is another.
        groups: Levels of the integers.
    """
    result = np.empty(firsts.size)
    total = count_sums[-1]
    for candidate in range(firsts.size):
        first, end = firsts[candidate], ends[candidate]
        inside = count_sums[end] - count_sums[first]
        if inside <= 0:
            result[candidate] = np.inf
            continue
        below, above = count_sums[first], total - count_sums[end]
        own = log_sums[end] - log_sums[first]
        if end - first == 1:
            own = _own(total)
        else:
            own += _own(counts[first] + below) - _own(counts[first])
            own += _own(counts[end - 1] + above) - _own(counts[end - 1])
        cross = 0.0
        size = end - first
        for group in range(groups):
            begin, stop = first + group * size // groups, first + (group + 1) * size // groups
            if stop == begin:
                continue
            merged = count_sums[stop] - count_sums[begin]
            occupied = occupied_sums[stop] - occupied_sums[begin]
            mass = merged
            if begin == first:
                mass += below
                occupied += below > 0 and counts[first] == 0
            if stop == end:
                mass += above
                occupied += above > 0 and counts[end - 1] == 0
            if mass > 0:
                cross += mass * math.log(max(merged / max(occupied, 1.0), _SMOOTH))
        result[candidate] = (own - cross) / total - math.log(total) + math.log(inside)
    return result


@numba.njit(nogil=True, cache=True)
def _own(count: float) -> float:
    return count * math.log(count) if count > 0 else 0.0
