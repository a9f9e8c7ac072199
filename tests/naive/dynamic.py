"""Oracles of quantization at run time: one float32 operation after the other, and integer loops."""

from collections.abc import Sequence

import numpy as np

from tests.naive.quantize_affine import round_half_even


def dynamic_quantize(values: Sequence[float]) -> tuple[np.float32, int, list[int]]:
    """Scale, zero point and u8 values of float32 numbers, as ONNX's DynamicQuantizeLinear defines them."""
    low, high = np.float32(min(0.0, *values)), np.float32(max(0.0, *values))
    scale = np.float32(1) if low == high else (high - low) / np.float32(255)
    zero_point = min(max(round_half_even(float(-(low / scale))), 0), 255)
    quantized = [min(max(round_half_even(float(np.float32(value) / scale)) + zero_point, 0), 255) for value in values]
    return scale, zero_point, quantized


def product(
    x: Sequence[Sequence[int]], weights: Sequence[Sequence[int]], zero_point: int, weight_zero_points: Sequence[int]
) -> list[list[int]]:
    """(x - zero_point) @ (weights - weight_zero_points)^T in Python's integers."""
    return [
        [sum((a - zero_point) * (w - point) for a, w in zip(row, column, strict=True)) for column, point in
         zip(weights, weight_zero_points, strict=True)]
        for row in x
    ]  # fmt: skip
