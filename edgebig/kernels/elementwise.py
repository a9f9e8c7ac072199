"""Sums and products of two tensors of bytes with scales of their own, in one pass, as onnxruntime computes them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from edgebig.kernels.convert import check_range, check_scale
from edgebig.kernels.convert_rounding import centred, to_bytes, to_float
from edgebig.kernels.elementwise_broadcast import broadcast, check_broadcast
from edgebig.kernels.elementwise_loop import check_counts
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.numbers import NUMBERS, packed, splats
from edgebig.kernels.vector import I8, Value, call, fill, suffix

# Below this a float converts to int32 whatever the zero point.
_LARGEST = 2.0**30


def fused(b: ir.IRBuilder, x: Value, factor: Value, addend: Value) -> Value:
    """x * factor + addend, rounded once where the target can."""
    return call(b, f"llvm.fmuladd.{suffix(x.type)}", x.type, [x, factor, addend])


@dataclass(frozen=True)
class Add:
    """y = clip(rint((a - a_zero_point) * a_scale + (b - b_zero_point) * b_scale) + zero point, low, high).

    a and y are [rows, columns]; b has `rows / b_repeat` rows of `b_columns` columns: as many as a (0), or one.

    Computed as onnxruntime's QLinearAdd does with AVX2: the zero points are gathered in one number first, then come two
    fused multiplications. So it is bit-exact with it there (with one element as b, or on a machine without fused
    multiplication, results next to a half may differ by one step).

    Attributes:
        a_scale: a's scale divided by the output's, in float32; b_scale likewise.
        signed: The tensors were int8 and have been flipped to bytes: the same sum, in the order int8 is computed in.
    """

    rows: int
    columns: int
    a_scale: float
    a_zero_point: int
    b_scale: float
    b_zero_point: int
    output: Requantize
    b_repeat: int = 1
    b_columns: int = 0
    signed: bool = False
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("a", "b", NUMBERS, "y")

    def __post_init__(self) -> None:
        check_counts(rows=self.rows, columns=self.columns, tasks=self.tasks)
        check_broadcast(self.rows, self.columns, self.b_repeat, self.b_columns)
        check_scale(self.a_scale)
        check_scale(self.b_scale)
        check_range(self.a_zero_point)
        check_range(self.b_zero_point)
        check_range(self.output.zero_point, self.output.low, self.output.high)

    @property
    def offset(self) -> np.float32:
        """What the zero points add, in the order of operations of onnxruntime's compiled code."""
        base = 128 if self.signed else 0
        a_scale, b_scale = np.float32(self.a_scale), np.float32(self.b_scale)
        of_b = np.float64(b_scale * np.float32(self.b_zero_point - base))
        points = np.float32(np.float64(a_scale) * (self.a_zero_point - base) + of_b)
        return np.float32(np.float32(self.output.zero_point - base) - points)

    @property
    def _bounded(self) -> bool:
        return abs(float(self.offset)) + 255 * (self.a_scale + self.b_scale) < _LARGEST

    def numbers(self) -> NDArray[np.float32]:
        """The contents of the operand "numbers"."""
        return packed(float(self.a_scale), float(self.b_scale), float(self.offset))

    def without_numbers(self) -> "Add":
        """The step whose code serves all scales and zero points; those so large that they may overflow apart."""
        scale = 1.0 if self._bounded else _LARGEST
        output = Requantize(0, self.output.low, self.output.high)
        return replace(self, a_scale=scale, a_zero_point=0, b_scale=1.0, b_zero_point=0, output=output)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(a, b, numbers, y, task)`; y may be a."""
        bounded = self._bounded

        def combine(b: ir.IRBuilder, left: Value, right: Value, *numbers: Value) -> Value:
            lanes = left.type.count
            a_scale, b_scale, offset = splats(b, numbers, lanes)
            if self.signed:
                left, right = (b.xor(side, fill(I8, lanes, 128)) for side in (left, right))
            left, right = (to_float(b, side, signed=self.signed) for side in (left, right))
            total = fused(b, left, a_scale, fused(b, right, b_scale, offset))
            return with_zero_point(b, total, self.output, signed=self.signed, bounded=bounded)

        return broadcast(I8, self.rows, self.columns, self.b_repeat, self.b_columns, self.tasks, combine, "fff")


@dataclass(frozen=True)
class Multiply:
    """y = clip(rint((a - a_zero_point) * (b - b_zero_point) * scale) + zero point, low, high), shapes as in `Add`.

    Computed as onnxruntime's QLinearMul does on x86-64, and bit-exact with it: the zero point is added in float32
    before the rounding, so an exact half may go the other way than by the formula above.

    Attributes:
        scale: The product of the inputs' scales divided by the output's, in float32.
        signed: The tensors were int8 and have been flipped to bytes: the zero point is added as int8's.
    """

    rows: int
    columns: int
    scale: float
    a_zero_point: int
    b_zero_point: int
    output: Requantize
    b_repeat: int = 1
    b_columns: int = 0
    signed: bool = False
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("a", "b", NUMBERS, "y")

    def __post_init__(self) -> None:
        check_counts(rows=self.rows, columns=self.columns, tasks=self.tasks)
        check_broadcast(self.rows, self.columns, self.b_repeat, self.b_columns)
        check_scale(self.scale)
        check_range(self.a_zero_point)
        check_range(self.b_zero_point)
        check_range(self.output.zero_point, self.output.low, self.output.high)

    @property
    def _bounded(self) -> bool:
        return 65025 * self.scale < _LARGEST

    def numbers(self) -> NDArray[np.float32]:
        """The contents of the operand "numbers"."""
        zero_point = float(self.output.zero_point - (128 if self.signed else 0))
        return packed(float(self.scale), zero_point, self.a_zero_point, self.b_zero_point)

    def without_numbers(self) -> "Multiply":
        """The step whose code serves all scales and zero points; those so large that they may overflow apart."""
        scale = 1.0 if self._bounded else _LARGEST
        output = Requantize(0, self.output.low, self.output.high)
        return replace(self, scale=scale, a_zero_point=0, b_zero_point=0, output=output)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(a, b, numbers, y, task)`; y may be a."""
        bounded = self._bounded

        def combine(b: ir.IRBuilder, left: Value, right: Value, *numbers: Value) -> Value:
            scale, zero_point = splats(b, numbers[:2], left.type.count)
            # Both factors and the product are integers below 2**24, so float32 holds them exactly.
            product = b.fmul(centred(b, left, numbers[2]), centred(b, right, numbers[3]))
            total = b.fadd(b.fmul(product, scale), zero_point)
            return with_zero_point(b, total, self.output, signed=self.signed, bounded=bounded)

        return broadcast(I8, self.rows, self.columns, self.b_repeat, self.b_columns, self.tasks, combine, "ffii")


def with_zero_point(b: ir.IRBuilder, total: Value, output: Requantize, *, signed: bool, bounded: bool) -> Value:
    """Round a sum that holds the zero point already; of int8's, which is 128 below the byte's."""
    return to_bytes(b, total, 128 if signed else 0, output.low, output.high, bounded=bounded)
