"""Several threads, several sessions, several segments at once."""

from typing import Any

import numpy as np
import pytest
from numba import cfunc, types
from onnx import TensorProto, helper

from edgebig.runtime.bridge import Call, Program, Tensor, arenas, register, unregister
from edgebig.runtime.bridge.operands import operand
from edgebig.runtime.bridge.words import load, store
from tests.runtime.bridge.segments import add_one_program, bytes_session, in_threads, open_session, segment_model

WORDS = 4096


@cfunc(types.void(types.intp, types.intp))
def fill(call: Any, task: Any) -> None:
    """Writes the first word of operand 0 to all words of operand 1."""
    value, y = load(operand(call, 0)), operand(call, 1)
    for i in range(WORDS):
        store(y + 8 * i, value)


@cfunc(types.void(types.intp, types.intp))
def total(call: Any, task: Any) -> None:
    """Adds all words of operand 0 up in operand 1."""
    x, sum_ = operand(call, 0), 0
    for i in range(WORDS):
        sum_ += load(x + 8 * i)
    store(operand(call, 1), sum_)


def spread_program(repeats: int) -> Program:
    """Fills the arena with the input and adds it up, so that a call that shares its arena gets a wrong sum."""
    one = (Tensor(TensorProto.INT64, (1,)),)
    calls = (Call(fill.address, 1, ((2, 0), (1, 0))), Call(total.address, 1, ((1, 0), (3, 0))))
    return Program(one, one, 8 * WORDS, calls * repeats)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_that_call_one_session_have_an_arena_each(threads: int) -> None:
    key = register(spread_program(20))
    info = helper.make_tensor_value_info("x", TensorProto.INT64, [1])
    session = open_session(segment_model([key, key], inputs=[info], element_type=TensorProto.INT64), threads)

    def work(index: int) -> None:
        for i in range(50):
            x = np.array([index * 1000 + i])
            assert session.run(None, {"x": x})[0][0] == int(x[0]) * WORDS**2

    in_threads(6, work)
    unregister(key)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_tasks_on_onnxruntime_threads_are_done_once_each(threads: int) -> None:
    size = 8 * 500
    key = register(add_one_program(size, 5))
    session = bytes_session(key, threads=threads)

    def work(index: int) -> None:
        x = np.random.default_rng(index).integers(0, 256, size, dtype=np.uint8)
        for _ in range(30):
            np.testing.assert_array_equal(session.run(None, {"x": x})[0], x + np.uint8(5))

    in_threads(4, work)
    unregister(key)


def test_sessions_made_run_and_destroyed_by_many_threads() -> None:
    keys = [register(add_one_program(8 * n, n)) for n in range(1, 6)]

    def work(index: int) -> None:
        for i in range(10):
            n = (index + i) % 5 + 1
            session = bytes_session(keys[n - 1], threads=1 + i % 2)
            x = np.arange(8 * n, dtype=np.uint8)
            np.testing.assert_array_equal(session.run(None, {"x": x})[0], x + n)

    in_threads(4, work)
    for key in keys:
        unregister(key)


def test_more_calls_at_once_than_the_shelf_has_slots() -> None:
    """Blocks beyond the slots are freed again, and nothing is lost or shared."""
    key = register(spread_program(1))
    info = helper.make_tensor_value_info("x", TensorProto.INT64, [1])
    session = open_session(segment_model([key], inputs=[info], element_type=TensorProto.INT64))

    def work(index: int) -> None:
        for _ in range(20):
            assert session.run(None, {"x": np.array([index])})[0][0] == index * WORDS

    in_threads(arenas.SLOTS + 8, work)
    assert arenas.kept_bytes() <= arenas.SLOTS * arenas.block_size(8 * WORDS) * 2
    unregister(key)
