"""Pooling against loops: windows of any shape, images smaller than the window, channel tails, tasks."""

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from edgebig.kernels.pool import AveragePool, GlobalAveragePool, MaxPool
from tests.kernels.memory import run_step
from tests.naive import pool as naive

few = settings(max_examples=12, deadline=None)


@st.composite
def cases(draw):
    """An image shape and a window that fits, with pads smaller than the window."""
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 4)))
    dilations = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2)]))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    pads = tuple(draw(st.integers(0, max(0, kernel[axis % 2] - 1))) for axis in range(4))
    extent = [(kernel[axis] - 1) * dilations[axis] + 1 for axis in (0, 1)]
    size = [draw(st.integers(max(1, extent[axis] - pads[axis] - pads[axis + 2]), 9)) for axis in (0, 1)]
    shape = (draw(st.integers(1, 2)), *size, draw(st.sampled_from([1, 2, 3, 8, 15, 33, 40, 70])))
    return shape, kernel, strides, pads, dilations, draw(st.integers(0, 2**32 - 1))


def test_max_pool_of_bytes_and_floats():
    @few
    @given(cases(), st.sampled_from(["u8", "f32"]), st.integers(1, 3))
    def check(case, element, tasks):
        shape, kernel, strides, pads, dilations, seed = case
        rng = np.random.default_rng(seed)
        x = rng.integers(0, 256, shape, np.uint8) if element == "u8" else rng.standard_normal(shape, np.float32)
        geometry = (kernel, strides, pads, dilations)
        expected = naive.pooled(lambda inside: max(inside, default=0), x.dtype, x, *geometry)
        _, y = run_step(MaxPool(*shape, *geometry, element, tasks=tasks), x, np.zeros_like(expected))
        outside = naive.pooled(len, np.int64, x, *geometry) == 0
        np.testing.assert_array_equal(np.where(outside, 0, y), expected)

    check()


@few
@given(cases(), st.booleans(), st.integers(0, 255), st.integers(1, 3))
def test_average_pool_of_bytes(case, include, point, tasks):
    shape, kernel, strides, pads, dilations, seed = case
    x = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    geometry = (kernel, strides, pads, dilations)

    def exact(inside):
        divisor = kernel[0] * kernel[1] if include else max(1, len(inside))
        return naive.mean(inside, divisor, 0.7, point)

    means = naive.pooled(exact, object, x, *geometry)
    step = AveragePool(*shape, *geometry, include, 0.7, point, Requantize(31, 5, 240), tasks=tasks)
    _, y = run_step(step, x, np.zeros(means.shape, np.uint8))
    expected = np.vectorize(lambda value: min(max(round(value) + 31, 5), 240))(means)
    near = np.vectorize(lambda value: abs(value - (value.__floor__() + 0.5)) < 1e-3)(means)
    outside = naive.pooled(len, np.int64, x, *geometry) == 0
    assert ((np.abs(y.astype(int) - expected) <= near) | outside).all()


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("channels", [5, 32, 45])
def test_average_pool_of_floats(include, channels):
    x = np.random.default_rng(channels).standard_normal((1, 6, 7, channels), np.float32)
    geometry = ((3, 3), (2, 2), (1, 1, 1, 1), (1, 1))
    expected = naive.pooled(lambda inside: sum(inside) / (9 if include else len(inside)), np.float64, x, *geometry)
    _, y = run_step(AveragePool(*x.shape, *geometry, include, element="f32"), x, np.zeros(expected.shape, np.float32))
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("element", ["u8", "f32"])
def test_channel_slices_of_wider_tensors(element):
    rng = np.random.default_rng(1)
    kind = np.uint8 if element == "u8" else np.float32
    x, y = rng.integers(0, 256, (1, 6, 6, 50)).astype(kind), np.full((1, 3, 3, 60), 7, kind)
    step = MaxPool(1, 6, 6, 40, (2, 2), (2, 2), element=element, x_pitch=50, y_pitch=60)
    # The operands begin at the first channel of the slice, and end with the last pixel of the slice.
    _, z = run_step(step, x.reshape(-1)[: 35 * 50 + 40], y.reshape(-1)[: 8 * 60 + 40])
    expected = x[..., :40].reshape(1, 3, 2, 3, 2, 40).max((2, 4))
    padded = np.concatenate([z, np.full(20, 7, kind)]).reshape(1, 3, 3, 60)
    np.testing.assert_array_equal(padded[..., :40], expected)
    assert (padded[..., 40:] == 7).all()


def peer(x, scales, points):
    """onnxruntime's own global average of NCHW bytes."""
    names = ["sx", "zx", "sy", "zy"]
    numbers = [np.float32(scales[0]), np.uint8(points[0]), np.float32(scales[1]), np.uint8(points[1])]
    node = helper.make_node("QLinearGlobalAveragePool", ["x", *names], ["y"], domain="com.microsoft")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        [numpy_helper.from_array(np.array(value), name) for name, value in zip(names, numbers, strict=True)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize(("size", "channels"), [((7, 7), 300), ((14, 14), 65), ((20, 20), 33), ((1, 1), 8)])
@pytest.mark.parametrize("tasks", [1, 3])
def test_global_average_pool_equals_onnxruntime(size, channels, tasks):
    rng = np.random.default_rng(channels)
    x = rng.integers(0, 256, (2, *size, channels), np.uint8)
    x[..., :4] = [0, 255, 128, 127]
    scales, points = (0.02, 0.011), (117, 40)
    multiplier = np.float32(scales[0]) / (np.float32(scales[1]) * np.float32(size[0] * size[1]))
    step = GlobalAveragePool(2, *size, channels, float(multiplier), points[0], Requantize(points[1]), tasks=tasks)
    _, y = run_step(step, x, np.zeros((2, channels), np.uint8))
    expected = peer(np.ascontiguousarray(x.transpose(0, 3, 1, 2)), scales, points)
    np.testing.assert_array_equal(y, expected[:, :, 0, 0])


def test_global_average_to_floats():
    x = np.random.default_rng(0).integers(0, 256, (1, 5, 6, 19), np.uint8)
    _, y = run_step(GlobalAveragePool(1, 5, 6, 19, 0.5 / 30, 9), x, np.zeros(19, np.float32))
    np.testing.assert_allclose(y, (x.astype(float) - 9).mean((0, 1, 2)) * 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    "change",
    [{"kernel": (9, 1)}, {"channels": 0}, {"element": "s16"}, {"x_pitch": 3}, {"pads": (-1, 0, 0, 0)},
     {"strides": (0, 1)}, {"tasks": 0}],
)  # fmt: skip
def test_refusals(change):
    good = {"batch": 1, "height": 5, "width": 5, "channels": 4, "kernel": (2, 2)}
    for step in (MaxPool, AveragePool):
        step(**good)
        with pytest.raises(KernelError):
            step(**(good | change))
