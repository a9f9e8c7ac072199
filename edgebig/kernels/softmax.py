"""Softmax over the rows of a float matrix, with what attention has around it: a scale, a mask, a quantized result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from edgebig.kernels.elementwise_loop import check_counts
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from edgebig.kernels.float_rows import (
    LANES,
    element,
    fold,
    keep,
    load_floats,
    rows_step,
    store_floats,
    store_result,
    walk,
)
from edgebig.kernels.float_unary_math import exp_nonpositive, log
from edgebig.kernels.vector import F32, Value, const, fill, stack

# Rows up to this length keep their exponentials on the stack when the result has no room for floats.
KEPT_COLUMNS = 16384


@dataclass(frozen=True)
class Softmax:
    """y[r] = softmax(scale * x[r] + mask[(r // mask_repeat) % mask_rows]) over the columns, in float32.

    A row that is -infinity everywhere, or has +infinity or NaN anywhere, gives NaN, as in onnxruntime. Of finite rows
    the relative error is below 5e-7 + 1.2e-7 * (largest of the row - entry); results below 1e-38 are 0.

    Attributes:
        rows: Rows.
        columns: Columns, any number.
        log: Give the logarithm of the softmax.
        scale: What x is multiplied with first.
        mask_rows: Rows of the operand "mask" [mask_rows, columns], which is added; 0 means that there is none.
        mask_repeat: How many neighbouring rows of x share a row of the mask.
        output: How the result becomes u8; None keeps f32.
        out_scale: The scale of a u8 result.

    Raises:
        KernelError: A count is below 1, or the scale of the result is not above 0.
    """

    rows: int
    columns: int
    log: bool = False
    scale: float = 1.0
    mask_rows: int = 0
    mask_repeat: int = 1
    output: Requantize | None = None
    out_scale: float = 1.0
    tasks: int = 1

    def __post_init__(self) -> None:
        check_counts(rows=self.rows, columns=self.columns, mask_repeat=self.mask_repeat, tasks=self.tasks)
        if self.mask_rows < 0:
            raise KernelError(f"mask_rows is {self.mask_rows}; give 0 for no mask.")
        if not self.out_scale > 0:
            raise KernelError(f"out_scale is {self.out_scale}; a scale is above 0.")

    @property
    def operands(self) -> tuple[str, ...]:
        """The addresses that the built function takes."""
        return ("x", "mask", "y") if self.mask_rows else ("x", "y")

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(*addresses, task)`; an f32 y may be x."""
        return rows_step(len(self.operands), self.rows, self.tasks, self._emit)

    def _emit(self, b: ir.IRBuilder, row: Value, addresses: Sequence[Value]) -> None:
        x = element(b, addresses[0], row, 4 * self.columns)
        y = element(b, addresses[-1], row, self.columns * (1 if self.output else 4))
        mask = self._mask(b, row, addresses[1]) if self.mask_rows else None
        kept = self._kept(b, y)

        def score(index: Value, count: int) -> Value:
            value = load_floats(b, x, index, count)
            if self.scale != 1:
                value = b.fmul(value, fill(F32, LANES, self.scale))
            return b.fadd(value, load_floats(b, mask, index, count)) if mask is not None else value

        def larger(left: Value, right: Value) -> Value:
            return b.select(b.fcmp_ordered(">", left, right), left, right)

        lowest = fill(F32, LANES, -float("inf"))
        (top,) = walk(
            b,
            self.columns,
            lambda i, n, carried: [larger(keep(b, score(i, n), n, -float("inf")), carried[0])],
            [lowest],
        )
        top = fold(b, top, larger)

        def exponential(index: Value, count: int) -> Value:
            return exp_nonpositive(b, b.fsub(score(index, count), top))

        def add(index: Value, count: int, carried: Sequence[Value]) -> Sequence[Value]:
            value = exponential(index, count)
            if kept is not None:
                store_floats(b, value, kept, index, count)
            return [b.fadd(carried[0], keep(b, value, count, 0.0))]

        (total,) = walk(b, self.columns, add, [fill(F32, LANES, 0.0)])
        total = fold(b, total, b.fadd)
        factor = log(b, total) if self.log else b.fdiv(fill(F32, LANES, 1.0), total)

        def finish(index: Value, count: int, _carried: Sequence[Value]) -> Sequence[Value]:
            if self.log:
                value = b.fsub(b.fsub(score(index, count), top), factor)
            else:
                known = exponential(index, count) if kept is None else load_floats(b, kept, index, count)
                value = b.fmul(known, factor)
            store_result(b, value, y, index, count, self.output, self.out_scale)
            return ()

        walk(b, self.columns, finish)

    def _mask(self, b: ir.IRBuilder, row: Value, mask: Value) -> Value:
        row = b.urem(b.udiv(row, const(self.mask_repeat)), const(self.mask_rows))
        return element(b, mask, row, 4 * self.columns)

    def _kept(self, b: ir.IRBuilder, y: Value) -> Value | None:
        """Where the exponentials stay until their sum is known; None means that they are computed twice."""
        if self.log:
            return None
        if self.output is None:
            return y
        return stack(b, 4 * self.columns) if self.columns <= KEPT_COLUMNS else None
