"""Sums of two uint8 x int8 products that do not fit 16 bits, on x86 processors without VNNI.

The instruction is vpmaddubsw (Intel's manual, volume 2): it multiplies pairs, adds each pair, and saturates at
-32768 and 32767. It is emulated on real activations of a layer.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.diagnose.causes.context import Context
from edgebig.diagnose.causes.patches import stored_rows
from edgebig.records.diagnose import Cause

KIND = "U8S8 saturation"
LIMIT = 32767
# Below this error of the sums nothing is worth saying.
LEAST_ERROR = 0.02


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """Emulate the instruction on rows of one feed."""
    found = stored_rows(context, layer)
    if found is None:
        return None
    rows, weights = found
    pairs, saturated, error = saturation_of(rows, weights)
    if not saturated or error < LEAST_ERROR:
        return None
    return Cause(
        kind=KIND,
        text=f"{saturated / pairs:.2%} of the pairs of products pass 16 bits: without VNNI that alone changes the "
        f"layer's sums by {error:.1%}",
    )


def saturation_of(rows: NDArray, weights: NDArray) -> tuple[int, int, float]:
    """Multiply as vpmaddubsw does.

    Args:
        rows: uint8 [M, K] as int32.
        weights: int8 [N, K] as int32.

    Returns:
        Pairs of products, those that saturate, and the error of the sums relative to their root mean square.
    """
    if rows.shape[1] % 2:
        rows, weights = np.pad(rows, ((0, 0), (0, 1))), np.pad(weights, ((0, 0), (0, 1)))
    saturated, error, signal = 0, 0.0, 0.0
    for weight in weights:
        products = rows * weight
        sums = products[:, 0::2] + products[:, 1::2]
        limited = np.clip(sums, -LIMIT - 1, LIMIT)
        saturated += int(np.count_nonzero(sums != limited))
        error += float(np.square((limited - sums).sum(axis=1), dtype=np.float64).sum())
        signal += float(np.square(sums.sum(axis=1), dtype=np.float64).sum())
    pairs = rows.shape[0] * weights.shape[0] * (rows.shape[1] // 2)
    return pairs, saturated, (error / signal) ** 0.5 if signal else 0.0
