"""The loop of every kernel that goes through its operands once: full vectors, shared among tasks, then the rest."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import njit

from edgebig.kernels.errors import KernelError
from edgebig.kernels.numbers import unpacked
from edgebig.kernels.vector import Loop, Value, const, intrinsic_of

Emit = Callable[[ir.IRBuilder, Sequence[Value], Value, int], None]
"""`emit(builder, addresses, index, lanes)` does the elements `index` to `index + lanes`."""

LANES = 32


def powers_of_two(count: int) -> list[int]:
    """The powers of two that add up to a count, largest first."""
    return [1 << bit for bit in reversed(range(count.bit_length())) if count >> bit & 1]


def share(b: ir.IRBuilder, count: int, tasks: int, task: Value) -> tuple[Value, Value]:
    """The part of `range(count)` that belongs to a task: its first index, and the one after its last."""
    if tasks == 1:
        return const(0), const(count)
    first, last = (b.udiv(b.mul(number, const(count)), const(tasks)) for number in (task, b.add(task, const(1))))
    return first, last


def emit_stream(
    b: ir.IRBuilder, addresses: Sequence[Value], task: Value, count: int, tasks: int, emit: Emit, lanes: int = LANES
) -> None:
    """Emit one pass over `count` elements: the task's share of the full vectors; the last task takes the rest.

    Nothing is read twice and nothing beyond the last element is touched, so an operand may also be the result.
    """
    full = count // lanes
    if full:
        first, last = share(b, full, tasks, task)
        loop = Loop(b, last, start=first)
        emit(b, addresses, b.mul(loop.index, const(lanes)), lanes)
        loop.end()
    if count % lanes:
        with b.if_then(b.icmp_signed("==", task, const(tasks - 1))):
            start = full * lanes
            for part in powers_of_two(count % lanes):
                emit(b, addresses, const(start), part)
                start += part


def streamed(operands: int, count: int, tasks: int, emit: Emit, lanes: int = LANES) -> Callable[..., Any]:
    """Build a step of one pass over `count` elements.

    Args:
        operands: How many addresses the step takes.
        count: Elements.
        tasks: Parts of the work.
        emit: Emits the work on some neighbouring elements.
        lanes: How many elements one turn of the loop does.
    """

    def body(b: ir.IRBuilder, *values: Value) -> None:
        emit_stream(b, values[:-1], values[-1], count, tasks, emit, lanes)

    return runner(operands, body)


def streamed_with_numbers(count: int, tasks: int, kinds: str, emit: Callable[..., None]) -> Callable[..., Any]:
    """Build a step `run(x, numbers, y, task)` of one pass over `count` elements.

    Args:
        count: Elements.
        tasks: Parts of the work.
        kinds: Of the numbers, see `unpacked`.
        emit: `emit(builder, (x, y), index, lanes, scalars)` does some neighbouring elements.
    """

    def body(b: ir.IRBuilder, x: Value, numbers: Value, y: Value, task: Value) -> None:
        scalars = unpacked(b, numbers, kinds)
        emit_stream(b, (x, y), task, count, tasks, lambda *work: emit(*work, scalars))

    return runner(3, body)


def runner(operands: int, body: Callable[..., None]) -> Callable[..., Any]:
    """The jitted `run(*addresses, task)` of a body that is all of a step."""
    kernel = intrinsic_of(operands + 1, body)

    @njit
    def run(*values):  # type: ignore[no-untyped-def]
        kernel(*values)

    return run


def check_counts(**counts: int) -> None:
    """Refuse counts below 1.

    Raises:
        KernelError: One is.
    """
    for name, count in counts.items():
        if count < 1:
            raise KernelError(f"{name} is {count}; it must be at least 1.")
