"""Block sparsity by loops."""

import numpy as np
from numpy.typing import NDArray


def zero_blocks(weights: NDArray[np.int8], mask: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Weights [filters, channels, height, width] with blocks of 16 filters x 4 channels at one position zeroed.

    Args:
        weights: Any sizes.
        mask: Which blocks are kept: [ceil(filters / 16), ceil(channels / 4), height, width].
    """
    pruned = np.zeros_like(weights)
    for o in range(weights.shape[0]):
        for c in range(weights.shape[1]):
            pruned[o, c] = weights[o, c] * mask[o // 16, c // 4]
    return pruned


def kept_blocks(weights: NDArray[np.generic]) -> tuple[int, int]:
    """Blocks of 16 filters x 4 neighbours of (height, width, channels): those that hold something, and all."""
    filters, channels, height, width = weights.shape
    inner = channels * height * width
    kept = total = 0
    for o in range(0, filters, 16):
        for first in range(0, inner, 4):
            total += 1
            places = [
                (k // channels // width, k // channels % width, k % channels)
                for k in range(first, min(first + 4, inner))
            ]
            kept += any(weights[f, c, i, j] != 0 for f in range(o, min(o + 16, filters)) for i, j, c in places)
    return kept, total
