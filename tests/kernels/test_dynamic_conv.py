"""Convolutions of inputs quantized at run time, against loops: the padding stands for 0, whatever the zero point."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.kernels import dots
from edgebig.kernels.dynamic_conv import DynamicConv
from edgebig.kernels.errors import KernelError
from tests.kernels.memory import run_step
from tests.naive import conv as naive

INTEGER_DOTS = [dot.name for dot in dots.available() if not dot.real]
WIDE_DOTS = [name for name in INTEGER_DOTS if dots.get(name).exact(np.array([[255, -255]], np.int32))]


def oracle(step, x, weights, zero_point, points):
    """Sums of (x - zero_point) * (w - its zero point); what lies outside of the image adds nothing."""
    geometry = {name: getattr(step, name) for name in ("strides", "dilations", "pads", "groups")}
    centred = weights.astype(np.int64) - np.asarray(points).reshape(-1, 1, 1, 1)
    return naive.conv(x, centred, **geometry, x_zero_point=zero_point)


def run(step, x, constants, scale, zero_point, front=False):
    parameters = np.array([scale, 0], np.float32)
    parameters.view(np.int32)[1] = zero_point
    y = np.zeros((step.batch, step.product.out_height, step.product.out_width, step.filters), np.float32)
    operands = {"x": x, "parameters": parameters, **constants, "y": y}
    return run_step(step, *(operands[name] for name in step.operands), front=front)[-1]


def case(step, seed, kind=np.int8, limit=64):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (step.batch, step.height, step.width, step.channels), np.uint8)
    low, high = (-limit, limit + 1) if kind == np.int8 else (0, 256)
    shape = (step.filters, step.channels // step.groups, *step.kernel)
    bias, multiplier = rng.normal(0, 1, (2, step.filters)).astype(np.float32)
    return x, rng.integers(low, high, shape).astype(kind), bias, np.abs(multiplier) / 100


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(INTEGER_DOTS),
    st.integers(1, 2),
    st.sampled_from([(1, 1), (3, 3), (2, 3)]),
    st.sampled_from([(0, 0, 0, 0), (1, 1, 1, 1), (0, 2, 1, 0)]),
    st.sampled_from([1, 2]),
    st.sampled_from([(3, 5, 1), (8, 12, 2), (4, 4, 4)]),
    st.integers(0, 255),
    st.integers(1, 3),
    st.booleans(),
)
def test_conv(dot, batch, kernel, pads, stride, sizes, zero_point, tasks, front):
    channels, filters, groups = sizes
    step = DynamicConv(dot, batch, 6, 7, channels, filters, kernel, (stride, stride), (1, 1), pads, groups, tasks=tasks)
    x, weights, bias, multiplier = case(step, zero_point)
    y = run(step, x, step.constants(weights, bias, multiplier), 0.037, zero_point, front)
    sums = oracle(step, x, weights, zero_point, [0] * filters)
    factor = np.float32(0.037) * multiplier
    np.testing.assert_allclose(y, sums.astype(np.float32) * factor + bias, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("dot", WIDE_DOTS)
def test_zero_points_of_the_weights_and_dilation(dot):
    step = DynamicConv(dot, 1, 9, 8, 5, 11, (3, 3), (1, 1), (2, 2), (2, 2, 2, 2))
    x, weights, _, multiplier = case(step, 1, np.uint8)
    points = np.random.default_rng(2).integers(0, 255, 11)
    y = run(step, x, step.constants(weights, None, multiplier, points), 0.5, 201)
    sums = oracle(step, x, weights, 201, points)
    np.testing.assert_allclose(y, sums.astype(np.float32) * (np.float32(0.5) * multiplier), rtol=1e-6, atol=1e-5)


def test_activation():
    plain = DynamicConv(INTEGER_DOTS[0], 1, 5, 5, 4, 8, (3, 3), pads=(1, 1, 1, 1))
    active = DynamicConv(INTEGER_DOTS[0], 1, 5, 5, 4, 8, (3, 3), pads=(1, 1, 1, 1), activation="relu")
    x, weights, bias, multiplier = case(plain, 3)
    constants = plain.constants(weights, bias, multiplier)
    expected = run(plain, x, constants, 0.02, 77)
    assert (expected < 0).any()
    np.testing.assert_array_equal(run(active, x, constants, 0.02, 77), np.maximum(expected, 0))


def test_repr_rebuilds_and_refusals():
    step = DynamicConv("madd256", 1, 4, 4, 2, 2, activation="gelu")
    assert eval(repr(step)) == step
    for change in ({"activation": "sine"}, {"dot": "fma256"}, {"kernel": (9, 9)}):
        with pytest.raises(KernelError):
            replace(step, **change)
