"""Oracles of layer and RMS normalisation: one row at a time, in Python's double precision."""

import math
from collections.abc import Sequence


def layer_norm(
    row: Sequence[float], epsilon: float, scale: Sequence[float] | None, bias: Sequence[float] | None
) -> list[float]:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias."""
    mean = math.fsum(row) / len(row)
    variance = math.fsum((x - mean) ** 2 for x in row) / len(row)
    root = math.sqrt(variance + epsilon)
    return [
        (x - mean) / root * (scale[i] if scale is not None else 1.0) + (bias[i] if bias is not None else 0.0)
        for i, x in enumerate(row)
    ]


def rms_norm(row: Sequence[float], epsilon: float, scale: Sequence[float]) -> list[float]:
    """x / sqrt(mean square + epsilon) * scale."""
    root = math.sqrt(math.fsum(x * x for x in row) / len(row) + epsilon)
    return [x / root * scale[i] for i, x in enumerate(row)]
