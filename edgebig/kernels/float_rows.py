"""Rows of floats in vector code: along a row whose length is known, with whatever is left over after the vectors."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import njit

from edgebig.kernels.elementwise_loop import share
from edgebig.kernels.epilogue import Requantize, quantize, store_part
from edgebig.kernels.vector import F32, Loop, Value, at, const, fill, function_of, load, shuffle, vector_of

LANES = 16

Visit = Callable[[Value, int, Sequence[Value]], Sequence[Value]]
"""`visit(index, count, carried)` does `count` elements from `index` on and returns what is carried to the next ones."""


def walk(b: ir.IRBuilder, columns: int, visit: Visit, carried: Sequence[Value] = ()) -> Sequence[Value]:
    """Visit `columns` elements, `LANES` at a time and then the rest at once; returns what was carried out."""
    full = columns // LANES * LANES
    if full:
        loop = Loop(b, const(full), carried, step=LANES)
        carried = loop.end(visit(loop.index, LANES, loop.values))
    if columns % LANES:
        carried = visit(const(full), columns % LANES, carried)
    return carried


def element(b: ir.IRBuilder, row: Value, index: Value, element_bytes: int = 4) -> Value:
    """The address of an element of a row."""
    return b.add(row, b.mul(index, const(element_bytes)))


def load_floats(b: ir.IRBuilder, row: Value, index: Value, count: int) -> Value:
    """A vector of `LANES` floats, of which `count` are read; the others are 0."""
    address = element(b, row, index)
    if count == LANES:
        return load(b, address, vector_of(F32, LANES))
    result, done = fill(F32, LANES, 0.0), 0
    while done < count:
        piece = 1 << ((count - done).bit_length() - 1)
        part = load(b, at(b, address, 4 * done), vector_of(F32, piece))
        wide = shuffle(b, part, part, [min(max(lane - done, 0), piece - 1) for lane in range(LANES)])
        inside = [LANES + lane if done <= lane < done + piece else lane for lane in range(LANES)]
        result, done = shuffle(b, result, wide, inside), done + piece
    return result


def store_floats(b: ir.IRBuilder, value: Value, row: Value, index: Value, count: int) -> None:
    """Store the first `count` floats of a vector."""
    store_part(b, value, element(b, row, index), count, element_bytes=4)


def store_result(
    b: ir.IRBuilder, value: Value, row: Value, index: Value, count: int, output: Requantize | None, scale: float
) -> None:
    """Store the first `count` floats of a vector, as they are or divided by `scale` and rounded to u8."""
    if output is None:
        store_floats(b, value, row, index, count)
    else:
        real = b.fdiv(value, fill(F32, LANES, scale))
        store_part(b, quantize(b, [real], output), element(b, row, index, 1), count)


def keep(b: ir.IRBuilder, value: Value, count: int, rest: float) -> Value:
    """The first `count` lanes of a vector, and `rest` in the others."""
    if count == LANES:
        return value
    return shuffle(b, value, fill(F32, LANES, rest), [lane if lane < count else LANES + lane for lane in range(LANES)])


def fold(b: ir.IRBuilder, value: Value, combine: Callable[[Value, Value], Value]) -> Value:
    """All lanes of a vector combined into one, which every lane of the result has."""
    half = LANES // 2
    while half:
        value = combine(value, shuffle(b, value, value, [lane ^ half for lane in range(LANES)]))
        half //= 2
    return value


def rows_step(
    operands: int, rows: int, tasks: int, emit: Callable[[ir.IRBuilder, Value, Sequence[Value]], None]
) -> Callable[..., Any]:
    """The jitted `run(*addresses, task)` of a step that does rows one by one.

    Args:
        operands: How many addresses it takes.
        rows: Rows in all; they are shared evenly among the tasks.
        tasks: Parts of the work.
        emit: `emit(builder, row, addresses)` emits the work on one row.
    """

    def body(b: ir.IRBuilder, *values: Value) -> None:
        first, last = share(b, rows, tasks, values[-1])
        loop = Loop(b, last, start=first)
        emit(b, loop.index, values[:-1])
        loop.end()

    return stepped(operands, body)


def stepped(operands: int, body: Callable[..., None]) -> Callable[..., Any]:
    """The jitted `run(*addresses, task)` of a body of any number of addresses."""
    kernel = function_of(operands + 1, body)

    @njit
    def run(*values):  # type: ignore[no-untyped-def]
        kernel(*values)

    return run
