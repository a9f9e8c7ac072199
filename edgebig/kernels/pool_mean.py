"""The mean over a sliding window: exact integer sums for bytes, and one rounding at the end."""

from collections.abc import Callable
from math import prod
from typing import Any, Literal

import numpy as np
from llvmlite import ir

from edgebig.kernels.convert_rounding import to_bytes
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.pool_window import Slide, slide
from edgebig.kernels.vector import F32, I16, I32, I64, Value, const, splat, store, vector_of, zeros

# Sums of so many bytes fit an unsigned 16-bit integer.
_MOST_IN_I16 = 65535 // 255


def slide_mean(
    plan: Slide, multiplier: float, divisor: int | None, zero_point: int, output: Requantize | Literal["f32"]
) -> Callable[..., Any]:
    """Build the jitted `run(x, y, task)`: (sum of the window's elements - zero point) * (multiplier / divisor).

    Args:
        plan: Shapes and the type of x.
        multiplier: A factor, used as float32.
        divisor: None: how many of the window's elements lie inside the image.
        zero_point: Of bytes.
        output: Bytes with this range, or floats.
    """
    kind, area = plan.element, prod(plan.window.kernel)
    total = F32 if kind is F32 else I16 if area <= _MOST_IN_I16 else I32
    padded = plan.window.reaches_out(0) or plan.window.reaches_out(1)

    def add(b: ir.IRBuilder, sums: Value, x: Value) -> Value:
        return b.fadd(sums, x) if kind is F32 else b.add(sums, b.zext(x, sums.type))

    def finish(b: ir.IRBuilder, sums: Value, count: Value, address: Value) -> None:
        inside = count if padded else const(area)
        over = b.sitofp(inside if divisor is None else const(divisor), F32)
        mean = _scaled(b, sums, b.trunc(b.mul(inside, ir.Constant(I64, zero_point)), I32), multiplier, over)
        if isinstance(output, Requantize):
            mean = to_bytes(b, mean, output.zero_point, output.low, output.high)
        store(b, mean, address)

    return slide(plan, zeros(vector_of(total, plan.lanes)), add, finish)


def _scaled(b: ir.IRBuilder, sums: Value, points: Value, multiplier: float, over: Value) -> Value:
    """(sums - points) * (multiplier / over); floats have no points and are divided last, as the operator says."""
    lanes = sums.type.count
    factor = ir.Constant(F32, float(np.float32(multiplier)))
    if sums.type.element == F32:
        return b.fdiv(b.fmul(sums, splat(b, factor, lanes)), splat(b, over, lanes))
    wide = sums if sums.type.element == I32 else b.zext(sums, vector_of(I32, lanes))
    reals = b.sitofp(b.sub(wide, splat(b, points, lanes)), vector_of(F32, lanes))
    return b.fmul(reals, splat(b, b.fdiv(factor, over), lanes))
