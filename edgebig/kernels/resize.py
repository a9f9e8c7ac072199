"""Resizing NHWC images to the nearest pixel."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numba import njit
from numpy.typing import NDArray

from edgebig.kernels.convert_transpose import emit_copy
from edgebig.kernels.elementwise_loop import check_counts, share
from edgebig.kernels.errors import KernelError
from edgebig.kernels.vector import I32, I64, Loop, Value, const, intrinsic_of, load


@dataclass(frozen=True)
class NearestResize:
    """y[n, r, c] = x[n, rows[r], columns[c]], whole pixels of any element type.

    x is [batch, height, width, channels], y [batch, out_height, out_width, channels]. Which row and column are nearest
    is for the caller to say: operators differ in it.

    Attributes:
        bytes: Of an element.
        x_pitch: Elements between neighbouring pixels of x, 0 for the channels; `y_pitch` of y.
    """

    batch: int
    height: int
    width: int
    channels: int
    out_height: int
    out_width: int
    bytes: int = 1
    x_pitch: int = 0
    y_pitch: int = 0
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "rows", "columns", "y")

    def __post_init__(self) -> None:
        names = ("batch", "height", "width", "channels", "out_height", "out_width", "bytes", "tasks")
        check_counts(**{name: getattr(self, name) for name in names})
        for name in ("x_pitch", "y_pitch"):
            if 0 < getattr(self, name) < self.channels or getattr(self, name) < 0:
                raise KernelError(f"{name} is {getattr(self, name)}; it must be 0 or at least {self.channels}.")

    def constants(self, rows: NDArray[Any], columns: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The constant operands.

        Args:
            rows: [out_height], which row of x each row of y is; `columns` [out_width] likewise.

        Raises:
            KernelError: There are too few or too many, or one lies outside x.
        """
        found = {}
        for name, given, count, size in (
            ("rows", rows, self.out_height, self.height),
            ("columns", columns, self.out_width, self.width),
        ):
            if given.shape != (count,) or given.min() < 0 or given.max() >= size:
                raise KernelError(f"{name} must be {count} numbers from 0 to {size - 1}; given is {given!r}.")
            found[name] = np.ascontiguousarray(given, np.int32)
        return found

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, rows, columns, y, task)`."""
        pixel, x_pixel = self.channels * self.bytes, (self.x_pitch or self.channels) * self.bytes
        y_pixel = (self.y_pitch or self.channels) * self.bytes

        def body(b: ir.IRBuilder, x: Value, rows: Value, columns: Value, y: Value, task: Value) -> None:
            first, last = share(b, self.batch * self.out_height, self.tasks, task)
            line = Loop(b, last, start=first)
            image, row = b.udiv(line.index, const(self.out_height)), b.urem(line.index, const(self.out_height))
            number = b.add(b.mul(image, const(self.height)), _index(b, rows, row))
            source = b.add(x, b.mul(number, const(self.width * x_pixel)))
            target = b.add(y, b.mul(line.index, const(self.out_width * y_pixel)))
            column = Loop(b, const(self.out_width))
            origin = b.add(source, b.mul(_index(b, columns, column.index), const(x_pixel)))
            emit_copy(b, origin, b.add(target, b.mul(column.index, const(y_pixel))), const(pixel))
            column.end()
            line.end()

        kernel = intrinsic_of(5, body)

        @njit
        def run(x, rows, columns, y, task):  # type: ignore[no-untyped-def]
            kernel(x, rows, columns, y, task)

        return run


def _index(b: ir.IRBuilder, table: Value, number: Value) -> Value:
    return b.sext(load(b, b.add(table, b.mul(number, const(4))), I32), I64)
