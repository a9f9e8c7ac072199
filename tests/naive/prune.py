"""Slow oracles for pruning: plain loops that share no code with edgebig."""

import numpy as np
from numpy.typing import NDArray


def block_mask(kept: NDArray, rows: int, columns: int, outputs: int, inputs: int) -> NDArray:
    """The mask of a matrix from that of its blocks."""
    mask = np.zeros((outputs, inputs), bool)
    for o in range(outputs):
        for i in range(inputs):
            mask[o, i] = kept[o // rows, i // columns]
    return mask


def conv_rows(x: NDArray, kernel: tuple[int, int], stride: int, pad: int, dilation: int, groups: int) -> NDArray:
    """Rows of a 2-D convolution [groups, N*OH*OW, KH*KW*C/groups], input channels innermost."""
    n, c, h, w = x.shape
    oh = (h + 2 * pad - dilation * (kernel[0] - 1) - 1) // stride + 1
    ow = (w + 2 * pad - dilation * (kernel[1] - 1) - 1) // stride + 1
    per = c // groups
    rows = np.zeros((groups, n * oh * ow, kernel[0] * kernel[1] * per), x.dtype)
    for g in range(groups):
        for s in range(n):
            for oy in range(oh):
                for ox in range(ow):
                    for ky in range(kernel[0]):
                        for kx in range(kernel[1]):
                            y, z = oy * stride + ky * dilation - pad, ox * stride + kx * dilation - pad
                            if 0 <= y < h and 0 <= z < w:
                                for i in range(per):
                                    row, column = (s * oh + oy) * ow + ox, (ky * kernel[1] + kx) * per + i
                                    rows[g, row, column] = x[s, g * per + i, y, z]
    return rows


def ridge_fit(x: NDArray, t: NDArray, weights: NDArray, mask: NDArray, ridge: float) -> NDArray:
    """Row by row: argmin over w on the mask of |t - x w|^2 / n + ridge |w - weights|^2, by a stacked lstsq."""
    out = np.zeros_like(weights)
    n = len(x)
    for o in range(len(weights)):
        kept = np.flatnonzero(mask[o])
        if not len(kept):
            continue
        a = np.vstack([x[:, kept] / np.sqrt(n), np.sqrt(ridge) * np.eye(len(kept))])
        b = np.concatenate([t[:, o] / np.sqrt(n), np.sqrt(ridge) * weights[o, kept]])
        out[o, kept] = np.linalg.lstsq(a, b, rcond=None)[0]
    return out
