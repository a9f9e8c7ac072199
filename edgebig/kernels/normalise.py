"""Layer normalisation and RMS normalisation of rows, fused with the residual addition before them."""

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
from edgebig.kernels.float_unary_math import multiply_add, square_root
from edgebig.kernels.vector import F32, Value, fill


@dataclass(frozen=True)
class _Normalisation:
    """What both normalisations share.

    Attributes:
        rows: Rows.
        columns: Columns, any number; a row is normalised.
        epsilon: Added to the variance (RMSNorm: to the mean square).
        residual: Whether an operand "residual" of the shape of x is added to x first.
        keep_sum: Whether that sum is written to an operand "sum"; it may be x or the residual itself.
        output: How the result becomes u8; None keeps f32.
        out_scale: The scale of a u8 result.

    Raises:
        KernelError: A count is below 1, the scale of the result is not above 0, epsilon is negative, or a sum is to be
            kept where nothing is added.
    """

    rows: int
    columns: int
    epsilon: float
    residual: bool = False
    keep_sum: bool = False
    output: Requantize | None = None
    out_scale: float = 1.0
    tasks: int = 1

    def __post_init__(self) -> None:
        check_counts(rows=self.rows, columns=self.columns, tasks=self.tasks)
        if not self.out_scale > 0:
            raise KernelError(f"out_scale is {self.out_scale}; a scale is above 0.")
        if not self.epsilon >= 0:
            raise KernelError(f"epsilon is {self.epsilon}; it must be 0 or more.")
        if self.keep_sum and not self.residual:
            raise KernelError("keep_sum asks for the sum of x and a residual; set residual too.")

    @property
    def _parameters(self) -> tuple[str, ...]:
        return ("scale",)

    @property
    def operands(self) -> tuple[str, ...]:
        """The addresses that the built function takes."""
        added = ("residual",) if self.residual else ()
        return ("x", *added, *self._parameters, *(("sum",) if self.keep_sum else ()), "y")

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(*addresses, task)`; an f32 y may be x or the residual."""
        return rows_step(len(self.operands), self.rows, self.tasks, self._emit)

    def _emit(self, b: ir.IRBuilder, row: Value, addresses: Sequence[Value]) -> None:
        place = dict(zip(self.operands, addresses, strict=True))
        row_bytes = {"x": 4, "residual": 4, "sum": 4, "y": 1 if self.output else 4}
        for name in place.keys() & row_bytes:
            place[name] = element(b, place[name], row, row_bytes[name] * self.columns)

        def added(index: Value, count: int) -> Value:
            value = load_floats(b, place["x"], index, count)
            return b.fadd(value, load_floats(b, place["residual"], index, count)) if self.residual else value

        centre, factor = self._statistics(b, added)

        def finish(index: Value, count: int, _carried: Sequence[Value]) -> Sequence[Value]:
            value = added(index, count)
            if self.keep_sum:
                store_floats(b, value, place["sum"], index, count)
            value = b.fmul(value if centre is None else b.fsub(value, centre), factor)
            if "scale" in place:
                value = b.fmul(value, load_floats(b, place["scale"], index, count))
            if "bias" in place:
                value = b.fadd(value, load_floats(b, place["bias"], index, count))
            store_result(b, value, place["y"], index, count, self.output, self.out_scale)
            return ()

        walk(b, self.columns, finish)

    def _statistics(self, b: ir.IRBuilder, added: Callable[[Value, int], Value]) -> tuple[Value | None, Value]:
        """What is taken off a row (None: nothing), and what it is multiplied with then."""
        return None, self._inverse_root(b, added, None)

    def _mean(self, b: ir.IRBuilder, term: Callable[[Value, int, Value], Value]) -> Value:
        """The mean over a row; `term(index, count, sum)` adds the row's next values to a sum."""
        zero = fill(F32, LANES, 0.0)
        (total,) = walk(b, self.columns, lambda i, n, carried: [term(i, n, carried[0])], [zero])
        return b.fdiv(fold(b, total, b.fadd), fill(F32, LANES, self.columns))

    def _inverse_root(self, b: ir.IRBuilder, added: Callable[[Value, int], Value], centre: Value | None) -> Value:
        """1 / sqrt(mean square + epsilon), around `centre` if there is one."""

        def term(index: Value, count: int, total: Value) -> Value:
            value = added(index, count)
            value = keep(b, value if centre is None else b.fsub(value, centre), count, 0.0)
            return multiply_add(b, value, value, total)

        root = square_root(b, b.fadd(self._mean(b, term), fill(F32, LANES, self.epsilon)))
        return b.fdiv(fill(F32, LANES, 1.0), root)


@dataclass(frozen=True)
class LayerNormalization(_Normalisation):
    """y = (z - mean(z)) / sqrt(var(z) + epsilon) * scale + bias with z = x (+ residual), row by row, in float32.

    The variance is that of the differences to the mean, so a large mean costs no precision. Error: 2e-6 of the row's
    largest result (before bias) for rows of up to 4096 columns.

    Attributes:
        affine: Whether there are operands "scale" and "bias".
    """

    affine: bool = True

    @property
    def _parameters(self) -> tuple[str, ...]:
        return ("scale", "bias") if self.affine else ()

    def _statistics(self, b: ir.IRBuilder, added: Callable[[Value, int], Value]) -> tuple[Value | None, Value]:
        centre = self._mean(b, lambda index, count, total: b.fadd(total, added(index, count)))
        return centre, self._inverse_root(b, added, centre)


@dataclass(frozen=True)
class RMSNorm(_Normalisation):
    """y = z / sqrt(mean(z**2) + epsilon) * scale with z = x (+ residual), row by row, in float32."""
