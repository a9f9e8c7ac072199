"""Quantization at run time against loops and against onnxruntime, bit by bit."""

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgebig.kernels import dots
from edgebig.kernels.dynamic import DynamicMatMul, DynamicQuantize
from edgebig.kernels.errors import KernelError
from tests.kernels.memory import run_step
from tests.naive import dynamic as naive
from tests.naive import float_unary

INTEGER_DOTS = [dot.name for dot in dots.available() if not dot.real]
# Those for weights that take nine bits once their zero point is off.
WIDE_DOTS = [name for name in INTEGER_DOTS if dots.get(name).exact(np.array([[255, -255]], np.int32))]


def quantize(x, tasks=1, front=False):
    step = DynamicQuantize(x.size, tasks)
    _, parameters, y = run_step(step, x, np.zeros(2, np.float32), np.zeros(x.shape, np.uint8), front=front)
    return parameters[0], int(parameters.view(np.int32)[1]), y


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 150),
    st.integers(1, 4),
    st.sampled_from([(0, 1), (5, 1), (-5, 1), (0.3, 0.01), (0, 1e-30), (0, 1e20)]),
    st.booleans(),
    st.integers(0, 999),
)
def test_quantize(size, tasks, spread, front, seed):
    x = np.random.default_rng(seed).normal(*spread, size).astype(np.float32)
    scale, zero_point, y = quantize(x, tasks, front)
    expected = naive.dynamic_quantize(x.tolist())
    assert (scale, zero_point) == expected[:2]
    np.testing.assert_array_equal(y, expected[2])


@pytest.fixture(scope="module")
def peer():
    """onnxruntime's DynamicQuantizeLinear."""
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "scale", "zero_point"])
    kinds = {"y": TensorProto.UINT8, "scale": TensorProto.FLOAT, "zero_point": TensorProto.UINT8}
    outputs = [helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()]
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("size", [1, 7, 16, 100, 384, 4099])
def test_quantize_is_bit_exact_with_onnxruntime(peer, size):
    rng = np.random.default_rng(size)
    step = DynamicQuantize(size).build()
    for trial in range(200):
        x = rng.normal(rng.normal(0, 2), 10 ** rng.uniform(-6, 6), size).astype(np.float32)
        if trial % 5 == 0:
            x = np.abs(x) * rng.choice([-1, 1])
        if trial % 7 == 0:
            x = np.round(x)  # many values halfway between two steps
        if trial == 199:
            x[:] = 0
        x = x.astype(np.float32)
        parameters, y = np.zeros(2, np.float32), np.zeros(size, np.uint8)
        step(x.ctypes.data, parameters.ctypes.data, y.ctypes.data, 0)
        expected, scale, zero_point = peer.run(None, {"x": x})
        assert parameters[0] == scale and parameters.view(np.int32)[1] == zero_point
        np.testing.assert_array_equal(y, expected)


def matmul_case(step, seed=0, kind=np.int8, limit=64):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (step.rows, step.inner), np.uint8)
    low, high = (-limit, limit + 1) if kind == np.int8 else (0, 256)
    weights = rng.integers(low, high, (step.columns, step.inner)).astype(kind)
    bias, multiplier = rng.normal(0, 1, (2, step.columns)).astype(np.float32)
    return x, weights, bias, np.abs(multiplier) / 100


def run_matmul(step, x, constants, scale, zero_point, front=False):
    parameters = np.array([scale, 0], np.float32)
    parameters.view(np.int32)[1] = zero_point
    operands = {"x": x, "parameters": parameters, **constants, "y": np.zeros((step.rows, step.columns), np.float32)}
    return run_step(step, *(operands[name] for name in step.operands), front=front)[-1]


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(INTEGER_DOTS),
    st.integers(1, 20),
    st.integers(1, 70),
    st.integers(1, 50),
    st.integers(0, 255),
    st.integers(1, 3),
    st.booleans(),
)
def test_matmul(dot, rows, inner, columns, zero_point, tasks, front):
    step = DynamicMatMul(dot, rows, inner, columns, tasks=tasks)
    x, weights, bias, multiplier = matmul_case(step, inner)
    y = run_matmul(step, x, step.constants(weights, bias, multiplier), 0.037, zero_point, front)
    sums = np.array(naive.product(x.tolist(), weights.tolist(), zero_point, [0] * columns))
    factor = np.float32(0.037) * multiplier
    np.testing.assert_allclose(y, sums.astype(np.float32) * factor + bias, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dot", WIDE_DOTS)
@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_matmul_with_zero_points_of_the_weights(dot, kind):
    step = DynamicMatMul(dot, 5, 33, 21)
    x, weights, _, multiplier = matmul_case(step, 1, kind, 127)
    points = np.random.default_rng(2).integers(0, 100, 21)
    y = run_matmul(step, x, step.constants(weights, None, multiplier, points), 0.5, 201)
    sums = np.array(naive.product(x.tolist(), weights.tolist(), 201, points.tolist()))
    np.testing.assert_allclose(y, sums.astype(np.float32) * (np.float32(0.5) * multiplier), rtol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_activation(activation):
    step = DynamicMatMul(INTEGER_DOTS[0], 7, 20, 37, activation, tasks=2)
    x, weights, bias, multiplier = matmul_case(step, 1)
    constants = step.constants(weights, bias, multiplier)
    plain = run_matmul(DynamicMatMul(INTEGER_DOTS[0], 7, 20, 37), x, constants, 0.01, 99)
    expected = [float_unary.evaluate(activation, value) for value in plain.ravel().tolist()]
    got = run_matmul(step, x, constants, 0.01, 99)
    np.testing.assert_allclose(got.ravel(), expected, rtol=1e-6, atol=1e-6)


def test_pitches():
    step = DynamicMatMul(INTEGER_DOTS[0], 6, 24, 10, x_pitch=40, y_pitch=16)
    x, weights, bias, multiplier = matmul_case(step)
    constants = step.constants(weights, bias, multiplier)
    wide = np.zeros((6, 40), np.uint8)
    wide[:, :24] = x
    parameters, y = np.array([0.25, 0], np.float32), np.full((6, 16), 7, np.float32)
    operands = {"x": wide, "parameters": parameters, **constants, "y": y}
    y = run_step(step, *(operands[name] for name in step.operands))[-1]
    expected = run_matmul(DynamicMatMul(INTEGER_DOTS[0], 6, 24, 10), x, constants, 0.25, 0)
    np.testing.assert_array_equal(y[:, :10], expected)
    assert (y[:, 10:] == 7).all()


def test_repr_rebuilds():
    step = DynamicMatMul("madd256", 1, 2, 3, "gelu")
    assert eval(repr(step)) == step


def test_refuses():
    for make in (
        lambda: DynamicQuantize(0),
        lambda: DynamicMatMul("madd256", 1, 2, 3, "sine"),
        lambda: DynamicMatMul("fma256", 1, 2, 3),
        lambda: DynamicMatMul("madd256", 0, 2, 3),
        lambda: DynamicMatMul("madd256", 1, 2, 3).constants(np.zeros((3, 3), np.int8), None, 1.0),
    ):
        with pytest.raises(KernelError):
            make()
