"""Conversions and transposes, one element at a time."""

import itertools
import math

import numpy as np
from numpy.typing import NDArray


def quantize(x: NDArray, scale: float, zero_point: int, low: int = 0, high: int = 255) -> NDArray:
    """ONNX's QuantizeLinear of floats to bytes; NaN gives the least value."""
    result = []
    for value in x.ravel():
        ratio = float(np.float32(value) / np.float32(scale))
        if math.isnan(ratio) or ratio == -math.inf:
            result.append(low)
        elif ratio == math.inf:
            result.append(high)
        else:
            result.append(min(max(round(ratio) + zero_point, low), high))
    return np.array(result, np.uint8).reshape(x.shape)


def dequantize(x: NDArray, scale: float, zero_point: int) -> NDArray:
    """ONNX's DequantizeLinear of bytes."""
    values = [np.float32(int(value) - zero_point) * np.float32(scale) for value in x.ravel()]
    return np.array(values, np.float32).reshape(x.shape)


def transpose(x: NDArray, permutation: tuple[int, ...]) -> NDArray:
    """Axes in another order."""
    result = np.empty([x.shape[axis] for axis in permutation], x.dtype)
    for index in itertools.product(*(range(size) for size in x.shape)):
        result[tuple(index[axis] for axis in permutation)] = x[index]
    return result
