"""MatMulNBits by loops: the operator's documentation, spelled out."""

import numpy as np
from numpy.typing import NDArray


def unpack(packed: NDArray[np.uint8], bits: int) -> NDArray[np.int64]:
    """Numbers of `bits` bits, the lowest bits of a byte first."""
    fields = [(packed >> (bits * i)) & (2**bits - 1) for i in range(8 // bits)]
    return np.stack(fields, axis=-1).reshape(*packed.shape[:-1], -1).astype(np.int64)


def whole_weights(
    weights: NDArray[np.uint8], zero_points: NDArray[np.uint8] | None, bits: int, inner: int
) -> NDArray[np.int64]:
    """Weights minus zero points, [columns, blocks, block_size]; zero past the last input."""
    columns, blocks, blob = weights.shape
    size = blob * 8 // bits
    values = unpack(weights, bits).reshape(columns, blocks, size)
    points = np.full((columns, blocks), 2 ** (bits - 1))
    if zero_points is not None:
        points = unpack(zero_points, bits)[:, :blocks]
    values = values - points[:, :, None]
    values.reshape(columns, -1)[:, inner:] = 0
    return values


def quantize(x: NDArray[np.float32], size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Activations [rows, inner] quantized by block, [rows, blocks, size], and scales [rows, blocks], in float32."""
    rows, inner = x.shape
    blocks = -(-inner // size)
    q, scales = np.zeros((rows, blocks, size), np.int64), np.zeros((rows, blocks), np.float32)
    for m in range(rows):
        for block in range(blocks):
            part = x[m, block * size : (block + 1) * size]
            largest = np.abs(part).max()
            if largest > 0:
                scales[m, block] = largest / np.float32(127)
                q[m, block, : part.size] = np.rint(part * (np.float32(127) / largest))
    return q, scales


def matmul_float(
    x: NDArray[np.float32], whole: NDArray[np.int64], scales: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Float activations, in float64."""
    columns = whole.shape[0]
    dense = (whole * scales.astype(np.float64)[:, :, None]).reshape(columns, -1)[:, : x.shape[1]]
    return x.astype(np.float64) @ dense.T + bias


def matmul_int8(
    x: NDArray[np.float32], whole: NDArray[np.int64], scales: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Activations quantized by block; integer sums, scaled and added in float64."""
    q, x_scales = quantize(x, whole.shape[2])
    sums = np.einsum("mbk,nbk->mnb", q, whole)
    scaled = sums * x_scales.astype(np.float64)[:, None, :] * scales.astype(np.float64)[None, :, :]
    return scaled.sum(axis=2) + bias
