"""Sums and products against exact arithmetic, and against onnxruntime for all pairs of bytes."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from edgebig.kernels.elementwise import Add, Multiply
from edgebig.kernels.elementwise_float import FloatBinary
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from tests.kernels.memory import run_step
from tests.naive import elementwise as naive

PAIRS = [np.repeat(np.arange(256, dtype=np.uint8), 256), np.tile(np.arange(256, dtype=np.uint8), 256)]
few = settings(max_examples=10, deadline=None)


@st.composite
def operands(draw):
    """Shapes with a second operand of every kind, and seeded bytes."""
    repeat, groups = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    columns, one = draw(st.integers(1, 70)), draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    a = rng.integers(0, 256, (repeat * groups, columns), np.uint8)
    return a, rng.integers(0, 256, (groups, 1 if one else columns), np.uint8), repeat, draw(st.integers(1, 3))


@few
@given(operands(), st.floats(0.01, 2), st.floats(0.01, 2), st.integers(0, 255), st.integers(0, 255), st.booleans())
def test_add(given_operands, a_scale, b_scale, a_point, b_point, signed):
    a, b, repeat, tasks = given_operands
    output = Requantize(100, 3, 250)
    step = Add(*a.shape, a_scale, a_point, b_scale, b_point, output, repeat, b.shape[1] % a.shape[1], signed, tasks)
    *_, y = run_step(step, a, b, np.zeros_like(a))
    exact = naive.exact_sum(a, b, (a_scale, b_scale), (a_point, b_point))
    expected = naive.clipped(exact, 100, 3, 250)
    steps = np.abs(y.astype(int) - expected)
    assert (steps <= naive.near_half(exact, 1e-3)).all()


@few
@given(operands(), st.floats(1e-4, 0.1), st.integers(0, 255), st.integers(0, 255), st.booleans())
def test_multiply(given_operands, scale, a_point, b_point, signed):
    a, b, repeat, tasks = given_operands
    step = Multiply(*a.shape, scale, a_point, b_point, Requantize(100, 3, 250), repeat, b.shape[1] % a.shape[1], signed,
                    tasks)  # fmt: skip
    *_, y = run_step(step, a, b, np.zeros_like(a))
    exact = naive.exact_product(a, b, scale, (a_point, b_point))
    steps = np.abs(y.astype(int) - naive.clipped(exact, 100, 3, 250))
    assert (steps <= naive.near_half(exact, 1e-3)).all()


@few
@given(operands(), st.sampled_from(["add", "subtract", "multiply", "divide"]), st.booleans())
def test_float_binary(given_operands, kind, swapped):
    a, b, repeat, tasks = given_operands
    a, b = a.astype(np.float32) / 7 + 1, b.astype(np.float32) / 3 + 1
    step = FloatBinary(kind, *a.shape, repeat, b.shape[1] % a.shape[1], swapped, tasks)
    *_, y = run_step(step, a, b, np.zeros_like(a))
    wide = np.broadcast_to(np.repeat(b, repeat, 0), a.shape)
    left, right = (wide, a) if swapped else (a, wide)
    np.testing.assert_array_equal(y, getattr(np, kind)(left, right))


def test_result_in_place_of_the_first_operand():
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 256, (2, 1, 105), np.uint8)
    step = Add(1, 105, 0.7, 3, 0.6, 9, Requantize(20))
    *_, expected = run_step(step, a, b, np.zeros_like(a))
    numbers = step.numbers()
    step.build()(a.ctypes.data, b.ctypes.data, numbers.ctypes.data, a.ctypes.data, 0)
    np.testing.assert_array_equal(a, expected)


def peer(operator, points, scales, dtype):
    """onnxruntime's own answer for all pairs of bytes."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    names = [f"{part}{side}" for side in "aby" for part in "sz"]
    numbers = [number for pair in zip(map(np.float32, scales), map(dtype, points), strict=True) for number in pair]
    node = helper.make_node(operator, ["a", "sa", "za", "b", "sb", "zb", "sy", "zy"], ["y"], domain="com.microsoft")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(side, kind, [65536]) for side in "ab"],
        [helper.make_tensor_value_info("y", kind, [65536])],
        [numpy_helper.from_array(np.array(value), name) for name, value in zip(names, numbers, strict=True)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    a, b = ((side ^ 0x80).view(np.int8) if dtype is np.int8 else side for side in PAIRS)
    (y,) = session.run(None, {"a": a, "b": b})
    return y.view(np.uint8) ^ 0x80 if dtype is np.int8 else y


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("seed", range(4))
def test_all_pairs_equal_onnxruntime(dtype, seed):
    rng = np.random.default_rng(seed)
    a_scale, b_scale, y_scale = (np.float32(rng.uniform(0.005, 0.1)) for _ in range(3))
    points = [int(point) for point in rng.integers(0, 256, 3)]
    signed = dtype is np.int8
    theirs = [point - 128 * signed for point in points]
    # Where the target has no fused multiplication, onnxruntime does without as well, but gathers the zero points alike.
    add = Add(1, 65536, float(a_scale / y_scale), points[0], float(b_scale / y_scale), points[1],
              Requantize(points[2]), signed=signed)  # fmt: skip
    *_, y = run_step(add, *PAIRS, np.zeros(65536, np.uint8))
    np.testing.assert_array_equal(y, peer("QLinearAdd", theirs, (a_scale, b_scale, y_scale), dtype))
    multiply = Multiply(1, 65536, float(a_scale * b_scale / y_scale), *points[:2], Requantize(points[2]), signed=signed)
    *_, y = run_step(multiply, *PAIRS, np.zeros(65536, np.uint8))
    np.testing.assert_array_equal(y, peer("QLinearMul", theirs, (a_scale, b_scale, y_scale), dtype))


@pytest.mark.parametrize(
    "change", [{"b_repeat": 3}, {"b_columns": 2}, {"a_scale": -1.0}, {"b_zero_point": -1}, {"rows": 0}]
)
def test_refusals(change):
    good = {"rows": 4, "columns": 5, "a_scale": 1.0, "a_zero_point": 0, "b_scale": 1.0, "b_zero_point": 0}
    Add(**good, output=Requantize())
    with pytest.raises(KernelError):
        Add(**(good | change), output=Requantize())


def test_float_refusals():
    with pytest.raises(KernelError, match="known are add"):
        FloatBinary("modulo", 1, 1)
