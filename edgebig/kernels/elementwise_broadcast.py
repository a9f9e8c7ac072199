"""Loops of two operands: the second as large as the first, a row for several rows, or one element for several rows."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from edgebig.kernels.elementwise_loop import LANES, emit_stream, powers_of_two, runner, share
from edgebig.kernels.errors import KernelError
from edgebig.kernels.numbers import unpacked
from edgebig.kernels.vector import F32, Loop, Value, at, const, load, splat, store, vector_of


def check_broadcast(rows: int, columns: int, b_repeat: int, b_columns: int) -> None:
    """Refuse a second operand that does not fit the first.

    Raises:
        KernelError: `b_repeat` does not divide the rows, or `b_columns` is neither 0, 1 nor the columns.
    """
    if b_repeat < 1 or rows % b_repeat:
        raise KernelError(f"b_repeat is {b_repeat}; it must divide the {rows} rows.")
    if b_columns not in (0, 1, columns):
        raise KernelError(f"b_columns is {b_columns}; it must be 1 or {columns} (or 0, which means {columns}).")


def broadcast(
    element: ir.Type,
    rows: int,
    columns: int,
    b_repeat: int,
    b_columns: int,
    tasks: int,
    combine: Callable[..., Value],
    kinds: str = "",
) -> Callable[..., Any]:
    """Build y[r, c] = combine(a[r, c], b[r // b_repeat, c or 0]).

    Args:
        element: Type of one element of all three: I8 or F32.
        rows: Rows of a and y.
        columns: Columns of a and y.
        b_repeat: Rows of a that use the same row of b.
        b_columns: 1: that row is one element; else it has as many as a.
        tasks: Parts of the work.
        combine: `combine(builder, a, b, *numbers)` of two vectors, the result as a vector.
        kinds: Of the numbers, see `unpacked`.

    Returns:
        The jitted `run(a, b, y, task)`, or `run(a, b, numbers, y, task)` if there are any; y may be a.
    """
    size = 4 if element is F32 else 1

    def elements(b: ir.IRBuilder, base: Value, index: Value) -> Value:
        return b.add(base, b.mul(index, const(size)))

    def plain(b: ir.IRBuilder, addresses: Any, index: Value, lanes: int, numbers: Sequence[Value]) -> None:
        left, right, y = (elements(b, base, index) for base in addresses)
        kind = vector_of(element, lanes)
        store(b, combine(b, load(b, left, kind), load(b, right, kind), *numbers), y)

    def one(b: ir.IRBuilder, addresses: Any, index: Value, lanes: int, numbers: Sequence[Value]) -> None:
        left, y = elements(b, addresses[0], index), elements(b, addresses[2], index)
        right = splat(b, load(b, addresses[1], element), lanes)
        store(b, combine(b, load(b, left, vector_of(element, lanes)), right, *numbers), y)

    whole_rows = b_columns in (0, columns)

    def body(b: ir.IRBuilder, x: Value, other: Value, *rest: Value) -> None:
        y, task = rest[-2:]
        numbers = unpacked(b, rest[0], kinds) if kinds else []
        kind: Any = plain if whole_rows else one

        def part(*work: Any) -> None:
            kind(*work, numbers)

        if b_repeat == (1 if whole_rows else rows):
            emit_stream(b, (x, other, y), task, rows * columns, tasks, part)
        else:
            first, last = share(b, rows, tasks, task)
            loop = Loop(b, last, start=first)
            begin, group = b.mul(loop.index, const(columns)), b.udiv(loop.index, const(b_repeat))
            of_b = elements(b, other, b.mul(group, const(columns)) if whole_rows else group)
            row = (elements(b, x, begin), of_b, elements(b, y, begin))
            emit_row(b, row, columns, part)
            loop.end()

    return runner(4 if kinds else 3, body)


def emit_row(b: ir.IRBuilder, addresses: Any, columns: int, emit: Callable[..., None]) -> None:
    """Emit one pass over a row: full vectors in a loop, then the rest."""
    full = columns // LANES
    if full:
        loop = Loop(b, const(full))
        emit(b, addresses, b.mul(loop.index, const(LANES)), LANES)
        loop.end()
    start = full * LANES
    for part in powers_of_two(columns % LANES):
        emit(b, addresses, at(b, const(0), start), part)
        start += part
