"""From sums of products to probabilities: the part of attention between its two matrix products."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels.errors import KernelError
from edgebig.kernels.float_unary_math import exp_nonpositive
from edgebig.kernels.vector import F32, Loop, Value, at, const, fill, load, store


@dataclass(frozen=True)
class Rounding:
    """Quantization to 8 bits and back: y = clip(rint(x * multiplier), low - zero_point, high - zero_point) * scale.

    Attributes:
        multiplier: The reciprocal of the scale of the 8-bit tensor, or what stands for it in a requantisation.
        scale: What a step is worth afterwards.
        zero_point: The value that stands for 0.
        low: Smallest value.
        high: Largest value.
    """

    multiplier: float
    scale: float
    zero_point: int = 0
    low: int = 0
    high: int = 255

    def __post_init__(self) -> None:
        if not (0 <= self.zero_point <= 255 and 0 <= self.low <= self.high <= 255):
            raise KernelError(f"{self}: give 0 <= low <= high <= 255 and 0 <= zero_point <= 255.")


def larger(b: ir.IRBuilder, x: Value, y: Value) -> Value:
    """The larger of x and y; y where x is NaN."""
    return b.select(b.fcmp_ordered(">", x, y), x, y)


def softmax_columns(
    b: ir.IRBuilder,
    scores: Value,
    rows: int,
    top: Sequence[Value],
    rounding: Callable[[ir.IRBuilder, Value], Value] | None,
    total: Callable[[Value], Value] = lambda sums: sums,
) -> list[Value]:
    """Turn scores [rows, columns], in place, into probabilities along the rows' axis, for every column.

    Args:
        b: The builder.
        scores: The address; a row is as many floats as `top` has lanes.
        rows: How many scores make a softmax.
        top: The largest score of each column.
        rounding: Rounds a vector of probabilities; None leaves them unnormalised.
        total: Makes the sum that counts of the sums of columns, for one softmax that takes several columns.

    Returns:
        What the results have to be multiplied with, for each vector of columns.
    """
    lanes = top[0].type.count
    pitch, places = 4 * lanes * len(top), [4 * lanes * v for v in range(len(top))]
    one = fill(F32, lanes, 1.0)
    loop = Loop(b, const(rows), [fill(F32, lanes, 0.0) for _ in top])
    row, totals = b.add(scores, b.mul(loop.index, const(pitch))), []
    for place, largest, before in zip(places, top, loop.values, strict=True):
        power = exp_nonpositive(b, b.fsub(load(b, at(b, row, place), largest.type), largest))
        store(b, power, at(b, row, place))
        totals.append(b.fadd(before, power))
    factors = [b.fdiv(one, total(sums)) for sums in loop.end(totals)]
    if rounding is None:
        return factors
    loop = Loop(b, const(rows))
    row = b.add(scores, b.mul(loop.index, const(pitch)))
    for place, factor in zip(places, factors, strict=True):
        probability = b.fmul(load(b, at(b, row, place), factor.type), factor)
        store(b, rounding(b, probability), at(b, row, place))
    loop.end()
    return [one for _ in top]
