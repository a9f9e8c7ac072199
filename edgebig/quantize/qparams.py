"""Affine parameters of integers: real value = scale * (integer - zero point), and arrays to integers and back.

Rounding is to the nearest, halves to even, as ONNX's QuantizeLinear does it; outside the range integers saturate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Scales below this would make 1 / scale, or a product of two of them, leave the normal float32 numbers.
SMALLEST_SCALE = 1e-18


@dataclass(frozen=True)
class QParams:
    """How one activation tensor is quantized.

    Attributes:
        scale: Step between neighbouring integers; exactly a float32.
        zero_point: The integer of the value 0.
        dtype: Name of the integer dtype, e.g. "uint8".
    """

    scale: float
    zero_point: int
    dtype: str = "uint8"

    @property
    def low(self) -> float:
        """The smallest value that can be represented."""
        return (np.iinfo(self.dtype).min - self.zero_point) * self.scale

    @property
    def high(self) -> float:
        """The largest value that can be represented."""
        return (np.iinfo(self.dtype).max - self.zero_point) * self.scale


def qparams_for_range(low: float, high: float, dtype: str = "uint8", *, symmetric: bool = False) -> QParams:
    """Parameters whose integers span a range; it is widened to hold 0, which is represented exactly.

    Args:
        low: Smallest value to be represented.
        high: Largest value to be represented; a range without width gives the scale of a range of one.
        dtype: Name of the integer dtype.
        symmetric: Whether the zero point is 0, at the cost of a range that is as wide on either side (signed integers).
    """
    if symmetric:
        return _symmetric(max(abs(float(low)), abs(float(high))), dtype)
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    limits = np.iinfo(dtype)
    if high - low < SMALLEST_SCALE * (limits.max - limits.min):
        low, high = 0.0, 1.0
    scale = float(np.float32((high - low) / (limits.max - limits.min)))
    zero_point = int(np.clip(np.rint(limits.min - low / scale), limits.min, limits.max))
    return QParams(scale, zero_point, dtype)


def _symmetric(highest: float, dtype: str) -> QParams:
    steps = np.iinfo(dtype).max
    if highest < SMALLEST_SCALE * steps:
        highest = 1.0
    return QParams(float(np.float32(highest / steps)), 0, dtype)


def quantize(values: NDArray, params: QParams) -> NDArray:
    """Values to integers of `params.dtype`, in float32 arithmetic as QuantizeLinear specifies."""
    limits = np.iinfo(params.dtype)
    integers = np.rint(values.astype(np.float32) / np.float32(params.scale)) + params.zero_point
    return np.clip(integers, limits.min, limits.max).astype(params.dtype)


def dequantize(integers: NDArray, params: QParams) -> NDArray:
    """Integers to float32 values, as DequantizeLinear specifies."""
    return (integers.astype(np.int32) - params.zero_point).astype(np.float32) * np.float32(params.scale)
