"""Convolution by loops over the kernel, in exact integers or float64, and requantisation as ONNX defines it."""

import numpy as np
from numpy.typing import NDArray


def conv(
    x: NDArray[np.generic],
    weights: NDArray[np.generic],
    *,
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    groups: int = 1,
    x_zero_point: int = 0,
) -> NDArray[np.generic]:
    """x [N, H, W, C], weights [O, C / groups, kh, kw] -> [N, OH, OW, O]; padding is the zero point, so it adds 0."""
    kind = np.float64 if x.dtype.kind == "f" else np.int64
    top, left, bottom, right = pads
    centred = np.pad(x.astype(kind) - x_zero_point, ((0, 0), (top, bottom), (left, right), (0, 0)))
    filters, group_channels, height, width = weights.shape
    out_height = (centred.shape[1] - (height - 1) * dilations[0] - 1) // strides[0] + 1
    out_width = (centred.shape[2] - (width - 1) * dilations[1] - 1) // strides[1] + 1
    y = np.zeros((x.shape[0], out_height, out_width, filters), kind)
    for o in range(filters):
        first = o // (filters // groups) * group_channels
        for i in range(height):
            for j in range(width):
                rows = slice(i * dilations[0], i * dilations[0] + (out_height - 1) * strides[0] + 1, strides[0])
                columns = slice(j * dilations[1], j * dilations[1] + (out_width - 1) * strides[1] + 1, strides[1])
                part = centred[:, rows, columns, first : first + group_channels]
                y[..., o] += (part * weights[o, :, i, j].astype(kind)).sum(axis=-1)
    return y


def requantize(
    accumulators: NDArray[np.generic], multiplier: NDArray[np.float32], zero_point: int, low: int, high: int
) -> NDArray[np.uint8]:
    """clip(rint(f32(acc) * multiplier) + zero_point, low, high)."""
    real = np.rint(accumulators.astype(np.float32) * multiplier.astype(np.float32))
    return np.clip(real.astype(np.float64) + zero_point, low, high).astype(np.uint8)
