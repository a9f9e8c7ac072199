"""The four operations on two tensors of floats."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from llvmlite import ir

from edgebig.kernels.elementwise_broadcast import broadcast, check_broadcast
from edgebig.kernels.elementwise_loop import check_counts
from edgebig.kernels.errors import KernelError
from edgebig.kernels.vector import F32, Value

_EMIT: dict[str, Callable[[ir.IRBuilder, Value, Value], Value]] = {
    "add": lambda b, x, y: b.fadd(x, y),
    "subtract": lambda b, x, y: b.fsub(x, y),
    "multiply": lambda b, x, y: b.fmul(x, y),
    "divide": lambda b, x, y: b.fdiv(x, y),
}


@dataclass(frozen=True)
class FloatBinary:
    """y[r, c] = a[r, c] op b[r // b_repeat, c or 0], in float32, rounded as IEEE 754 says.

    Attributes:
        kind: add, subtract, multiply or divide.
        rows: Rows of a and y; b has `rows / b_repeat`.
        columns: Columns of a and y.
        b_repeat: Rows of a that use the same row of b.
        b_columns: Columns of b: 1, or as many as a (0).
        swapped: Compute b op a.
    """

    kind: str
    rows: int
    columns: int
    b_repeat: int = 1
    b_columns: int = 0
    swapped: bool = False
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("a", "b", "y")

    def __post_init__(self) -> None:
        if self.kind not in _EMIT:
            raise KernelError(f"kind is {self.kind!r}; known are {', '.join(_EMIT)}.")
        check_counts(rows=self.rows, columns=self.columns, tasks=self.tasks)
        check_broadcast(self.rows, self.columns, self.b_repeat, self.b_columns)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(a, b, y, task)`; y may be a."""
        emit = _EMIT[self.kind]

        def combine(b: ir.IRBuilder, left: Value, right: Value) -> Value:
            return emit(b, right, left) if self.swapped else emit(b, left, right)

        return broadcast(F32, self.rows, self.columns, self.b_repeat, self.b_columns, self.tasks, combine)
