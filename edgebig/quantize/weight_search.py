"""Weight scales by search: the one per output channel whose integers err least, seen from the layer's output.

The square of the output's error is, with inputs whose channels do not correlate, the sum over weights of
(error of the weight)^2 * (mean square of its input). Under the rule of pairs (two neighbours within 128 together) a
scale is judged by what it is worth after the pairs that break the rule have been moved to the nearest ones that obey,
which is far cheaper than widening the whole channel's scale until none breaks it.
"""

import numpy as np
from numpy.typing import NDArray

from edgebig.graph.weights import WeightedNode

# Multiples of the scale at which the largest weight just fits; above 1 only the rule of pairs can gain.
NARROWER = np.concatenate([np.linspace(0.3, 0.7, 9), np.linspace(0.725, 1.0, 12)])
# The last one is that of seven bits, which every pair obeys.
WIDER = np.append(np.linspace(1.025, 1.975, 39), 127 / 64)


def search_weight(
    weighted: WeightedNode,
    start: NDArray,
    limit: int,
    *,
    pair_sums: bool,
    smallest: NDArray | None = None,
    mean_squares: NDArray | None = None,
) -> tuple[NDArray, NDArray]:
    """Search the scales of a weight and round it.

    Args:
        weighted: The node.
        start: float32, one per output channel: the scale at which the largest weight just fits.
        limit: The largest integer.
        pair_sums: Whether the sum of two neighbouring integers must stay within 128.
        smallest: Lower limits of the scales, one per output channel; None for no limits.
        mean_squares: Mean square of every input channel; None weighs all alike.

    Returns:
        int8 in the weight's own shape, and float32 scales, one per output channel.
    """
    # Numba is loaded when something is searched, not when a command shows its help.
    from edgebig.quantize.weight_search_kernel import round_rows, search_scales

    rows = weighted.to_matrix(weighted.array().astype(np.float32))
    importance, pairs = column_importance(weighted, mean_squares), pair_rule(weighted, pair_sums=pair_sums)
    factors = np.concatenate([NARROWER, WIDER]) if pair_sums else NARROWER
    candidates = start.astype(np.float32)[:, None] * factors.astype(np.float32)
    if smallest is not None:
        candidates = np.maximum(candidates, smallest.astype(np.float32)[:, None])
    scales = np.empty(len(rows), np.float32)
    search_scales(rows, importance, candidates, limit, pairs, scales)
    integers = np.empty_like(rows)
    round_rows(rows, importance, scales, limit, pairs, integers)
    return weighted.from_matrix(integers).astype(np.int8), scales


def pair_rule(weighted: WeightedNode, *, pair_sums: bool) -> int:
    """Which columns of `weighted.to_matrix` a kernel adds up in 16 bits (see `weight_search_kernel`).

    Kernels add the products of input channels 2i and 2i + 1 at one kernel position. Where a position has an odd number
    of channels pairs straddle positions, and any two weights may meet.
    """
    from edgebig.quantize.weight_search_kernel import ANY_TWO, NEIGHBOURS, NO_PAIRS

    if not pair_sums:
        return NO_PAIRS
    shape = weighted.array().shape
    if weighted.node.op_type not in ("Conv", "ConvTranspose"):
        return NEIGHBOURS
    channels = shape[1] if weighted.node.op_type == "Conv" else shape[0]
    positions = int(np.prod(shape[2:], dtype=np.int64))
    return NEIGHBOURS if channels % 2 == 0 or positions == 1 else ANY_TWO


def column_importance(weighted: WeightedNode, mean_squares: NDArray | None) -> NDArray:
    """How much an error in each column of `weighted.to_matrix` weighs: float32 [groups, columns].

    Args:
        weighted: The node.
        mean_squares: Mean square of every input channel; None weighs all alike.
    """
    columns = weighted.array().size // weighted.array().shape[weighted.output_axis]
    if mean_squares is None or not mean_squares.any():
        return np.ones((1, columns), np.float32)
    groups = weighted.groups if weighted.node.op_type == "Conv" else 1
    by_group = mean_squares.reshape(groups, -1) / mean_squares.mean()
    # Channels that are zero on the samples need not be zero elsewhere.
    floored = np.maximum(by_group, 1e-4).astype(np.float32)
    return np.tile(floored, (1, columns // by_group.shape[1]))
