"""The vector-code layer: loops, shuffles, stack memory and integers, each run once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit, types

from edgebig.kernels.integer import Int
from edgebig.kernels.vector import (
    F32,
    I8,
    I16,
    I32,
    Loop,
    at,
    const,
    fill,
    function_of,
    intrinsic_of,
    load,
    maximum,
    minimum,
    scratch,
    shuffle,
    splat,
    stack,
    store,
    suffix,
    vector_of,
)


def _call(body: Callable[..., Any], *values: int, maker: Callable[..., Any] = intrinsic_of, **options: Any) -> Any:
    work = maker(len(values), body, **options)
    names = ", ".join(f"a{i}" for i in range(len(values)))
    scope: dict[str, Any] = {"work": work}
    exec(f"def call({names}):\n    return work({names})\n", scope)
    return njit(scope["call"])(*values)


@pytest.mark.parametrize(("start", "stop", "step"), [(0, 0, 1), (0, 1, 1), (3, 2, 1), (0, 10, 3), (-4, 5, 2)])
def test_loop_carries_values_and_may_be_empty(start: int, stop: int, step: int) -> None:
    def body(b: Any, first: Any, last: Any) -> Any:
        loop = Loop(b, last, [const(100)], start=first, step=step)
        return loop.end([b.add(loop.values[0], loop.index)])[0]

    assert _call(body, start, stop, result=types.intp) == 100 + sum(range(start, stop, step))


def test_loops_nest() -> None:
    def body(b: Any, n: Any) -> Any:
        outer = Loop(b, n, [const(0)])
        inner = Loop(b, outer.index, outer.values)
        total = inner.end([b.add(inner.values[0], const(1))])
        return outer.end(total)[0]

    assert _call(body, 6, result=types.intp) == 15


@pytest.mark.parametrize("maker", [intrinsic_of, function_of])
def test_vectors_are_loaded_mixed_and_stored(maker: Callable[..., Any]) -> None:
    x, y = np.arange(8, dtype=np.int32), np.zeros(12, np.int32)

    def body(b: Any, source: Any, target: Any) -> None:
        kind = vector_of(I32, 4)
        left, right = load(b, source, kind), load(b, at(b, source, 16), kind)
        store(b, shuffle(b, left, right, [7, 0, 4, 3]), target)
        store(b, b.add(splat(b, load(b, at(b, source, 20), I32), 4), fill(I32, 4, -7)), at(b, target, 16))
        store(b, maximum(b, minimum(b, left, fill(I32, 4, 2)), fill(I32, 4, 1)), at(b, target, 32))

    _call(body, x.ctypes.data, y.ctypes.data, maker=maker)
    assert y.tolist() == [7, 0, 4, 3, -2, -2, -2, -2, 1, 1, 2, 2]


def test_minimum_knows_signs() -> None:
    y = np.zeros(4, np.int8)

    def body(b: Any, target: Any) -> None:
        kind = vector_of(I8, 2)
        low, high = fill(I8, 2, 5), fill(I8, 2, -1)
        assert low.type == kind
        store(b, minimum(b, low, high), target)
        store(b, minimum(b, low, high, signed=False), at(b, target, 2))

    _call(body, y.ctypes.data)
    assert y.tolist() == [-1, -1, 5, 5]


def test_stack_memory_is_aligned_and_apart() -> None:
    def body(b: Any) -> Any:
        first, second = stack(b, 100), stack(b, 100)
        for i in range(0, 100, 4):
            store(b, I32(i), at(b, first, i))
            store(b, I32(-i), at(b, second, i))
        total = [b.sext(load(b, at(b, first, i), I32), const(0).type) for i in range(0, 100, 4)]
        value = const(0)
        for one in total:
            value = b.add(value, one)
        return b.or_(b.and_(b.or_(first, second), const(63)), b.shl(value, const(8)))

    assert _call(body, result=types.intp) == sum(range(0, 100, 4)) << 8


def test_scratch_belongs_to_the_caller() -> None:
    place = scratch(64)
    work = intrinsic_of(1, lambda b, a: store(b, I32(9), a))
    read = intrinsic_of(1, lambda b, a: b.sext(load(b, a, I32), const(0).type), result=types.intp)

    @njit
    def call() -> int:
        address = place()
        work(address)
        return read(address) * 100 + address % 64

    assert call() == 900


def test_names_of_types() -> None:
    assert suffix(vector_of(I32, 8)) == "v8i32"
    assert suffix(vector_of(F32, 16)) == "v16f32"
    assert suffix(I16) == "i16"


@pytest.mark.parametrize(("x", "y"), [(17, 5), (0, 3), (1000003, 1)])
def test_integers_are_spelled_as_arithmetic(x: int, y: int) -> None:
    expressions: list[tuple[Callable[[Any, Any], Any], int]] = [
        (lambda a, c: a + c * 2 - 3, x + y * 2 - 3),
        (lambda a, c: a // c + a % c, x // y + x % y),
        (lambda a, c: a // 1 + 0 + a * 1 - 0, 2 * x),
        (lambda a, c: (a - 5).least(c), min(x - 5, y)),
        (lambda a, c: a.choose("<", c, 7, c), 7 if x < y else y),
        (lambda a, c: (a - 1).choose("<", 0, 1, 2), 1 if x - 1 < 0 else 2),
    ]
    for expression, right in expressions:

        def body(b: Any, a: Any, c: Any, expression: Callable[[Any, Any], Any] = expression) -> Any:
            return expression(Int(b, a), Int(b, c)).value

        assert _call(body, x, y, result=types.intp) == right


@pytest.mark.parametrize("value", [-1, 0, 4, 5])
def test_inside(value: int) -> None:
    def body(b: Any, a: Any) -> Any:
        return b.zext(Int(b, a).inside(5), const(0).type)

    assert _call(body, value, result=types.intp) == (0 <= value < 5)
