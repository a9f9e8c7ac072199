"""Transposing and copying tensors of any element size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from llvmlite import ir

from edgebig.kernels.convert_plane import SIDES, Plane, emit_plane, plain_load, plain_store
from edgebig.kernels.elementwise_loop import check_counts, runner, share
from edgebig.kernels.errors import KernelError
from edgebig.kernels.vector import I1, I8, I64, Loop, Value, const, zeros


def emit_copy(b: ir.IRBuilder, x: Value, y: Value, size: Value) -> None:
    """Copy bytes that do not overlap; LLVM writes out a small constant size, and calls the C library for others."""
    pointer = I8.as_pointer()
    name, kind = "llvm.memcpy.p0.p0.i64", ir.FunctionType(ir.VoidType(), [pointer, pointer, I64, I1])
    function = b.module.globals.get(name) or ir.Function(b.module, kind, name)
    b.call(function, [b.inttoptr(y, pointer), b.inttoptr(x, pointer), size, zeros(I1)])


@dataclass(frozen=True)
class Copy:
    """Rows of bytes from one pitch to another: slices, and the parts of a concatenation.

    Attributes:
        rows: How many.
        row_bytes: Bytes of a row that are copied.
        x_pitch_bytes: Bytes from one row of x to the next; y_pitch_bytes of y.
    """

    rows: int
    row_bytes: int
    x_pitch_bytes: int
    y_pitch_bytes: int
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "y")

    def __post_init__(self) -> None:
        check_counts(rows=self.rows, row_bytes=self.row_bytes, tasks=self.tasks)
        if min(self.x_pitch_bytes, self.y_pitch_bytes) < self.row_bytes:
            raise KernelError(f"{self}: a pitch is less than the {self.row_bytes} bytes of a row.")

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, y, task)`."""
        dense = self.x_pitch_bytes == self.y_pitch_bytes == self.row_bytes

        def body(b: ir.IRBuilder, x: Value, y: Value, task: Value) -> None:
            if dense or self.rows == 1:
                first, last = share(b, self.rows * self.row_bytes, self.tasks, task)
                emit_copy(b, b.add(x, first), b.add(y, first), b.sub(last, first))
                return
            first, last = share(b, self.rows, self.tasks, task)
            row = Loop(b, last, start=first)
            source = b.add(x, b.mul(row.index, const(self.x_pitch_bytes)))
            target = b.add(y, b.mul(row.index, const(self.y_pitch_bytes)))
            emit_copy(b, source, target, const(self.row_bytes))
            row.end()

        return runner(2, body)


@dataclass(frozen=True)
class Transpose:
    """Axes in another order, as ONNX's Transpose.

    Attributes:
        shape: Of x.
        permutation: y's axis i is x's axis permutation[i].
        bytes: Of an element: 1, 2, 4 or 8.
    """

    shape: tuple[int, ...]
    permutation: tuple[int, ...]
    bytes: int
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "y")

    def __post_init__(self) -> None:
        check_counts(tasks=self.tasks, **{f"axis {axis}": size for axis, size in enumerate(self.shape)})
        if sorted(self.permutation) != list(range(len(self.shape))):
            raise KernelError(f"{self.permutation} is no order of the {len(self.shape)} axes.")
        if self.bytes not in SIDES:
            raise KernelError(f"bytes is {self.bytes}; known are {', '.join(map(str, SIDES))}.")

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, y, task)`."""
        shape, order = merged(self.shape, self.permutation)
        if order == (0,):
            size = self.bytes * shape[0]
            return Copy(1, size, size, size, self.tasks).build()
        if order[-1] == len(order) - 1:
            return self._moved_rows(shape, order)
        return self._planes(shape, order)

    def _moved_rows(self, shape: tuple[int, ...], order: tuple[int, ...]) -> Callable[..., Any]:
        """The innermost axis stays: its rows are copied."""
        row = shape[-1] * self.bytes
        sizes, strides = [shape[axis] for axis in order[:-1]], _strides(shape, self.bytes)

        def body(b: ir.IRBuilder, x: Value, y: Value, task: Value) -> None:
            first, last = share(b, prod(sizes), self.tasks, task)
            loop = Loop(b, last, start=first)
            source = b.add(x, _offset(b, loop.index, sizes, [strides[axis] for axis in order[:-1]]))
            emit_copy(b, source, b.add(y, b.mul(loop.index, const(row))), const(row))
            loop.end()

        return runner(2, body)

    def _planes(self, shape: tuple[int, ...], order: tuple[int, ...]) -> Callable[..., Any]:
        """x's innermost axis and the axis that becomes innermost span planes, which are transposed one by one."""
        inner, outer = len(shape) - 1, order[-1]
        x_strides = _strides(shape, self.bytes)
        y_of = dict(zip(order, _strides([shape[axis] for axis in order], self.bytes), strict=True))
        element = ir.IntType(8 * self.bytes)
        plane = Plane(
            shape[outer],
            shape[inner],
            x_strides[outer],
            y_of[inner],
            element,
            SIDES[self.bytes],
            self.bytes,
            self.bytes,
        )
        rest = [axis for axis in order if axis not in (inner, outer)]
        sizes, planes = [shape[axis] for axis in rest], prod(shape[axis] for axis in rest)
        by_plane = planes >= self.tasks

        def body(b: ir.IRBuilder, x: Value, y: Value, task: Value) -> None:
            part = share(b, planes if by_plane else plane.blocks[1], self.tasks, task)
            numbers = part if by_plane else (const(0), const(planes))
            columns = (const(0), const(plane.blocks[1])) if by_plane else part
            loop = Loop(b, numbers[1], start=numbers[0])
            source = b.add(x, _offset(b, loop.index, sizes, [x_strides[axis] for axis in rest]))
            target = b.add(y, _offset(b, loop.index, sizes, [y_of[axis] for axis in rest]))
            emit_plane(b, plane, source, target, plain_load(element), plain_store, *columns)
            loop.end()

        return runner(2, body)


def merged(shape: Sequence[int], order: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The same transpose with fewer axes: without those of size 1, and with axes that stay neighbours made one."""
    groups: list[list[int]] = []
    for axis in (axis for axis in order if shape[axis] > 1):
        between = range(groups[-1][-1] + 1, axis) if groups else range(0)
        if groups and axis > groups[-1][-1] and all(shape[skipped] == 1 for skipped in between):
            groups[-1].append(axis)
        else:
            groups.append([axis])
    if not groups:
        return (1,), (0,)
    ranked = sorted(groups)
    return tuple(prod(shape[axis] for axis in group) for group in ranked), tuple(
        ranked.index(group) for group in groups
    )


def _strides(shape: Sequence[int], bytes_: int) -> list[int]:
    return [bytes_ * prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _offset(b: ir.IRBuilder, number: Value, sizes: Sequence[int], strides: Sequence[int]) -> Value:
    """Bytes to the element with a number, counted over axes of these sizes."""
    total = const(0)
    for size, stride in reversed(list(zip(sizes, strides, strict=True))):
        total = b.add(total, b.mul(b.urem(number, const(size)), const(stride)))
        number = b.udiv(number, const(size))
    return total
