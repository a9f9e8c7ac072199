"""The inner loops over a tensor's values, one block after the other: extremes, sums by channel, counts by bin.

A block is read from memory once and then stays in the first cache. Its extremes are found on the bits, since minima of
integers are vector instructions: among non-negative float32, larger numbers have larger bits, and among negative ones,
read as unsigned integers, smaller numbers have. Three extremes tell all: the largest and the smallest as signed, the
largest as unsigned integers. NaN and infinity lie beyond every number, so that one comparison tells whether a block
fits the histogram's range; where it does not, the kernel stops before it, and the caller grows the range and goes on.

Bins are computed in vectors, then counted in four tables in turn: a count waits for the one before it if that went to
the same bin, as after a ReLU half of them do. Counting still takes several times as long as all the rest, so it can be
limited to a part of the blocks, chosen by a hash of their number.
"""

import numba
import numpy as np
from numpy.typing import NDArray

BLOCK = 4096
TABLES = 4
SIGN = np.uint32(0x80000000)
MAGNITUDE = np.uint32(0x7FFFFFFF)
_LANE = np.uint64(0xFFFF)
_ONE_LANE, _TWO_LANES, _THREE_LANES = np.uint64(16), np.uint64(32), np.uint64(48)
# Sums may be reordered (vectors); NaN and infinity keep their meaning.
_SUMS = {"reassoc", "nsz", "contract"}


@numba.njit(nogil=True, cache=True)
def _extremes(signed: NDArray, unsigned: NDArray) -> tuple[np.int32, np.int32, np.uint32]:
    highest, lowest, farthest = signed[0], signed[0], unsigned[0]
    for i in range(signed.size):
        highest = max(highest, signed[i])
        lowest = min(lowest, signed[i])
        farthest = max(farthest, unsigned[i])
    return highest, lowest, farthest


@numba.njit(nogil=True, cache=True)
def _magnitude(highest: np.int32, farthest: np.uint32) -> np.uint32:
    """Bits of the largest magnitude."""
    negative = farthest & MAGNITUDE if farthest >= SIGN else np.uint32(0)
    positive = np.uint32(highest) if highest > 0 else np.uint32(0)
    return max(negative, positive)


@numba.njit(nogil=True, cache=True, fastmath=_SUMS)
def _moments(values: NDArray) -> tuple[float, float]:
    total = 0.0
    squares = 0.0
    for i in range(values.size):
        value = np.float64(values[i])
        total += value
        squares += value * value
    return total, squares


@numba.njit(nogil=True, cache=True)
def _count(values: NDArray, per_unit: np.float32, bins: NDArray, tables: NDArray) -> None:
    """Count one block; `bins` [BLOCK] is overwritten."""
    zero, one = np.int32(tables.shape[1] // 2), np.uint32(1)
    for i in range(values.size):
        scaled = values[i] * per_unit
        whole = np.int32(scaled)
        # Cut towards zero: what lies below the cut belongs to the bin before, also where scaling underflowed.
        below = (np.float32(whole) > scaled) | ((scaled == 0) & (values[i] < 0))
        bins[i] = np.uint16(whole - np.int32(below) + zero)
    first, second, third, fourth = tables[0], tables[1], tables[2], tables[3]
    whole_turns = values.size - values.size % TABLES
    packed = bins[:whole_turns].view(np.uint64)  # one load for four
    for i in range(packed.size):
        four = packed[i]
        first[four & _LANE] += one
        second[(four >> _ONE_LANE) & _LANE] += one
        third[(four >> _TWO_LANES) & _LANE] += one
        fourth[four >> _THREE_LANES] += one
    for i in range(whole_turns, values.size):
        first[bins[i]] += one


@numba.njit(nogil=True, cache=True)
def _count_all(values: NDArray, per_unit: np.float32, bins: NDArray, tables: NDArray) -> None:
    for start in range(0, values.size, BLOCK):
        _count(values[start : start + BLOCK], per_unit, bins, tables)


@numba.njit(nogil=True, cache=True)
def _is_counted(block: int, every: int, phase: int) -> bool:
    """Whether a block is among one in `every`, another part of them for another phase."""
    hashed = (np.uint64(block) + np.uint64(phase) * np.uint64(0x9E3779B9)) * np.uint64(0x9E3779B97F4A7C15)
    return (hashed >> np.uint64(33)) % np.uint64(every) == 0


@numba.njit(nogil=True, cache=True)
def stream_rows(
    values: NDArray,
    begin: int,
    limit: np.uint32,
    per_unit: np.float32,
    every: int,
    phase: int,
    bins: NDArray,
    tables: NDArray,
    extremes: NDArray,
    sums: NDArray,
) -> tuple[int, np.uint32]:
    """Take in values whose channels lie in rows.

    Args:
        values: float32 [rows, inner], contiguous, not empty; row r belongs to channel r % channels.
        begin: Block to begin with.
        limit: Bits of the magnitude that no value may reach.
        per_unit: Bins per unit of the values, a power of two; 0 counts nothing.
        every: One block in so many is counted, 1 for all.
        phase: Chooses which.
        bins: uint16 [BLOCK], overwritten.
        tables: uint32 [TABLES, bins], counts.
        extremes: int64 [3, channels], changed in place: the largest and the smallest bits as signed integers, and the
            largest as unsigned ones.
        sums: float64 [2, channels], changed in place: of values, and of squares.

    Returns:
        The block that does not fit, or the number of blocks; and the bits of that block's largest magnitude.
    """
    rows, inner = values.shape
    signed, unsigned = values.view(np.int32), values.view(np.uint32)
    channels = sums.shape[1]
    in_row = (inner + BLOCK - 1) // BLOCK
    for block in range(begin, rows * in_row):
        row, start = block // in_row, block % in_row * BLOCK
        end = min(start + BLOCK, inner)
        high, low, far = _extremes(signed[row, start:end], unsigned[row, start:end])
        magnitude = _magnitude(high, far)
        if magnitude >= limit:
            return block, magnitude
        c = row % channels
        extremes[0, c] = max(extremes[0, c], high)
        extremes[1, c] = min(extremes[1, c], low)
        extremes[2, c] = max(extremes[2, c], far)
        total, square = _moments(values[row, start:end])
        sums[0, c] += total
        sums[1, c] += square
        if per_unit > 0 and _is_counted(block, every, phase):
            _count(values[row, start:end], per_unit, bins, tables)
    return rows * in_row, np.uint32(0)


@numba.njit(nogil=True, cache=True)
def stream_short_rows(
    values: NDArray,
    begin: int,
    limit: np.uint32,
    per_unit: np.float32,
    every: int,
    phase: int,
    bins: NDArray,
    tables: NDArray,
    extremes: NDArray,
    sums: NDArray,
) -> tuple[int, np.uint32]:
    """As `stream_rows`, but a block is as many rows as fit."""
    rows, inner = values.shape
    signed, unsigned = values.view(np.int32), values.view(np.uint32)
    channels = sums.shape[1]
    per_block = max(BLOCK // inner, 1)
    blocks = (rows + per_block - 1) // per_block
    for block in range(begin, blocks):
        first, end = block * per_block, min((block + 1) * per_block, rows)
        high, _, far = _extremes(signed[first:end].ravel(), unsigned[first:end].ravel())
        magnitude = _magnitude(high, far)
        if magnitude >= limit:
            return block, magnitude
        for row in range(first, end):
            c = row % channels
            high, low, far = _extremes(signed[row], unsigned[row])
            extremes[0, c] = max(extremes[0, c], high)
            extremes[1, c] = min(extremes[1, c], low)
            extremes[2, c] = max(extremes[2, c], far)
            total, square = _moments(values[row])
            sums[0, c] += total
            sums[1, c] += square
        if per_unit > 0 and _is_counted(block, every, phase):
            _count_all(values[first:end].ravel(), per_unit, bins, tables)
    return blocks, np.uint32(0)


@numba.njit(nogil=True, cache=True)
def stream_columns(
    values: NDArray,
    begin: int,
    limit: np.uint32,
    per_unit: np.float32,
    every: int,
    phase: int,
    bins: NDArray,
    tables: NDArray,
    extremes: NDArray,
    sums: NDArray,
) -> tuple[int, np.uint32]:
    """Take in values whose channels lie side by side; as `stream_rows`, but for the shape [rows, columns].

    What is gathered has an entry for each column. A block is as many rows as fit, at least one.
    """
    rows, columns = values.shape
    signed, unsigned = values.view(np.int32), values.view(np.uint32)
    highest, lowest, farthest = extremes[0], extremes[1], extremes[2]
    per_block = max(BLOCK // columns, 1)
    blocks = (rows + per_block - 1) // per_block
    for block in range(begin, blocks):
        first, end = block * per_block, min((block + 1) * per_block, rows)
        high, _, far = _extremes(signed[first:end].ravel(), unsigned[first:end].ravel())
        magnitude = _magnitude(high, far)
        if magnitude >= limit:
            return block, magnitude
        for r in range(first, end):
            for c in range(columns):
                highest[c] = max(highest[c], signed[r, c])
                lowest[c] = min(lowest[c], signed[r, c])
                farthest[c] = max(farthest[c], unsigned[r, c])
            for c in range(columns):
                value = np.float64(values[r, c])
                sums[0, c] += value
                sums[1, c] += value * value
        if per_unit > 0 and _is_counted(block, every, phase):
            _count_all(values[first:end].ravel(), per_unit, bins, tables)
    return blocks, np.uint32(0)


@numba.njit(nogil=True, cache=True)
def flush(tables: NDArray, every: int, per_unit: np.float32, extremes: NDArray, counts: NDArray) -> None:
    """Move the tables' counts into the histogram.

    Args:
        tables: uint32 [TABLES, bins], zeros afterwards.
        every: How often each is added.
        per_unit: Bins per unit of the values.
        extremes: int64 [3, channels], of all values counted: bins beyond them hold nothing.
        counts: int64 [bins], changed in place.
    """
    bits = np.zeros(2, np.uint32)
    for c in range(extremes.shape[1]):
        bits[0] = max(bits[0], np.uint32(extremes[2, c] - SIGN if extremes[2, c] >= SIGN else 0))
        bits[1] = max(bits[1], np.uint32(max(extremes[0, c], 0)))
    reach = bits.view(np.float32)
    zero = counts.size // 2
    first = max(zero - int(float(reach[0]) * float(per_unit)) - 1, 0)
    end = min(zero + int(float(reach[1]) * float(per_unit)) + 1, counts.size)
    for i in range(first, end):
        found = np.int64(tables[0, i]) + tables[1, i] + tables[2, i] + tables[3, i]
        counts[i] += every * found
    tables[:, first:end] = 0
