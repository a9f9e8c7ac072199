"""Weights with one scale for all channels although their ranges are far apart."""

import numpy as np
import onnx_ir as ir

from edgebig.diagnose.causes.context import Context
from edgebig.records.diagnose import Cause

KIND = "per-tensor weights"
TIMES = 8.0
POOR_DB = 25.0


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """Compare the ranges of output channels that share a scale, and how well they are represented."""
    weight = context.weight(layer)
    if weight is None or weight.scale.size != 1:
        return None
    rows, changed = weight.by_channel(weight.original), weight.by_channel(weight.quantized)
    if rows.shape[0] < 2:
        return None
    ranges = np.abs(rows).max(axis=1)
    signal = np.square(rows, dtype=np.float64).sum(axis=1)
    noise = np.square(rows - changed, dtype=np.float64).sum(axis=1)
    typical = 10 * float(np.log10(np.median(signal / np.maximum(noise, 1e-30)) + 1e-30))
    times = float(ranges.max() / max(np.median(ranges), 1e-30))
    if times < TIMES and not (times > TIMES / 4 and typical < POOR_DB):
        return None
    return Cause(
        kind=KIND,
        text=f"one scale for {rows.shape[0]} channels, the largest {times:.0f} times the median one; most channels "
        f"keep {typical:.0f} dB",
    )
