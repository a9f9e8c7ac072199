"""Depthwise convolution, one product at a time."""

import numpy as np
from numpy.typing import NDArray

from tests.naive.pool import Pair


def sums(
    x: NDArray, weights: NDArray, strides: Pair, dilations: Pair, pads: tuple[int, int, int, int], zero_point: int
) -> NDArray:
    """Sums of (x - zero point) * weight: x [N, H, W, C], weights [C, 1, kh, kw]; exact for integers."""
    batch, height, width, channels = x.shape
    kernel = weights.shape[2:]
    rows = (height + pads[0] + pads[2] - (kernel[0] - 1) * dilations[0] - 1) // strides[0] + 1
    columns = (width + pads[1] + pads[3] - (kernel[1] - 1) * dilations[1] - 1) // strides[1] + 1
    wide = x.astype(np.int64 if x.dtype == np.uint8 else np.float64) - zero_point
    y = np.zeros((batch, rows, columns, channels), wide.dtype)
    for r, c, i, j in np.ndindex(rows, columns, *kernel):
        p, q = r * strides[0] - pads[0] + i * dilations[0], c * strides[1] - pads[1] + j * dilations[1]
        if 0 <= p < height and 0 <= q < width:
            y[:, r, c] += wide[:, p, q] * weights[:, 0, i, j]
    return y


def requantized(values: NDArray, multiplier: NDArray, zero_point: int, low: int, high: int) -> NDArray:
    """clip(rint(f32(sum) * multiplier) + zero point, low, high)."""
    scaled = values.astype(np.float32) * multiplier.astype(np.float32)
    return np.clip(np.rint(scaled.astype(np.float64)) + zero_point, low, high).astype(np.uint8)
