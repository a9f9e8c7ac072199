"""Depthwise convolution against loops: any geometry, channel tails, several patches and tasks, every dot product."""

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.kernels import dots
from edgebig.kernels.depthwise import Depthwise, FloatDepthwise, best_isa
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from tests.kernels.memory import run_step
from tests.naive import depthwise as naive

# Those that depthwise kernels choose from; the dense ones may store their weights more narrowly.
INTEGER = [
    name for dot in dots.DOTS if not dot.real and not dot.narrow for name in (dot.name, dots.EMULATED + dot.name)
]
PRESENT = [name for name in INTEGER if dots.runs(dots.get(name))]


@st.composite
def geometries(draw):
    """Image shapes and windows of any kind that have an output."""
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (5, 5), (1, 1), (2, 3), (1, 7), (4, 1)]))
    strides = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (3, 1), (1, 2)]))
    dilations = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 3)]))
    pads = tuple(draw(st.integers(0, 2)) for _ in range(4))
    extent = [(kernel[axis] - 1) * dilations[axis] + 1 for axis in (0, 1)]
    least = [max(1, extent[axis] - pads[axis] - pads[axis + 2]) for axis in (0, 1)]
    size = [draw(st.integers(least[axis], max(least[axis], 17))) for axis in (0, 1)]
    channels = draw(st.sampled_from([1, 3, 8, 16, 17, 24, 40, 72]))
    return (draw(st.integers(1, 2)), *size, channels), kernel, strides, dilations, pads


def integers(shape, kernel, seed, most=128):
    """Seeded bytes, kernels with the extremes among them, biases and multipliers."""
    rng = np.random.default_rng(seed)
    x = rng.choice(np.array([0, 1, 77, 128, 254, 255], np.uint8), shape)
    weights = rng.integers(-most, most, (shape[3], 1, *kernel)).astype(np.int8)
    weights[0] = [-most, most - 1][seed % 2]
    bias = rng.integers(-9999, 9999, shape[3]).astype(np.int32)
    return x, weights, bias, (rng.random(shape[3]) * 0.002 + 0.0005).astype(np.float32)


def check(isa, shape, kernel, strides, dilations, pads, *, seed=0, most=128, tasks=1, front=False):
    """Run and compare; all of y, exactly."""
    x, weights, bias, multiplier = integers(shape, kernel, seed, most)
    step = Depthwise(isa, *shape, kernel, strides, dilations, pads, 37, Requantize(90, 3, 250), tasks=tasks)
    found = step.constants(weights, bias, multiplier)
    sums = naive.sums(x, weights, strides, dilations, pads, 37) + bias
    *_, y = run_step(step, x, *found.values(), np.zeros(sums.shape, np.uint8), front=front)
    np.testing.assert_array_equal(y, naive.requantized(sums, multiplier, 90, 3, 250))


@settings(max_examples=15, deadline=None)
@given(geometries(), st.integers(0, 999), st.integers(1, 4), st.booleans())
def test_any_geometry(geometry, seed, tasks, front):
    isa = best_isa(integers(geometry[0], geometry[1], seed)[1], geometry[2], geometry[3])
    check(isa, *geometry, seed=seed, tasks=tasks, front=front)


@pytest.mark.parametrize("isa", PRESENT)
def test_every_dot_product(isa):
    check(isa, (1, 9, 10, 35), (5, 4), (2, 2), (1, 1), (1, 2, 0, 1), most=64)
    if not isa.startswith(dots.EMULATED):
        check(isa, (1, 9, 10, 35), (3, 3), (1, 1), (1, 1), (1, 2, 0, 1), most=64)


def test_kernels_too_large_to_unroll():
    check("generic", (1, 13, 12, 21), (9, 8), (2, 1), (1, 1), (4, 4, 4, 3), tasks=2)


def test_several_patches_in_every_direction():
    plan = Depthwise("generic", 1, 5, 4000, 16, (3, 3), pads=(1, 1, 1, 1)).plan
    assert not plan.direct
    assert min(plan.patches) > 1
    check("generic", (1, 5, 4000, 16), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), tasks=3)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [((3, 3), 1, 1), ((5, 4), 2, 1), ((3, 3), 1, 2), ((1, 1), 3, 1)]
)
@pytest.mark.parametrize(("pads", "front"), [((0, 2, 3, 0), False), ((2, 0, 0, 5), True)])
def test_wide_images_are_read_in_place(kernel, stride, dilation, pads, front):
    isa = best_isa(np.full((20, 1, *kernel), 127, np.int8), (stride, stride))
    plan = Depthwise(isa, 1, 9, 140, 20, kernel, (stride, stride), (dilation, dilation), pads).plan
    assert plan.direct
    check(isa, (1, 9, 140, 20), kernel, (stride, stride), (dilation, dilation), pads, tasks=2, front=front)


def test_pads_wider_than_the_image():
    check(best_isa(np.full((5, 1, 3, 3), 127, np.int8)), (1, 2, 1, 5), (3, 3), (1, 1), (1, 1), (6, 7, 5, 8))


def test_saturating_dot_products_refuse_weights_they_get_wrong():
    name = dots.EMULATED + "maddubs256"
    weights = np.full((16, 1, 3, 3), 127, np.int8)
    emulated = Depthwise(name, 1, 5, 5, 16, (3, 3))
    emulated.constants(weights, None, np.ones(16, np.float32))
    if not dots.runs(dots.get("maddubs256")):
        pytest.skip("this processor has no AVX2")
    with pytest.raises(KernelError, match="not exact"):
        Depthwise("maddubs256", 1, 5, 5, 16, (3, 3)).constants(weights, None, np.ones(16, np.float32))


@pytest.mark.parametrize("height", [1, 2, 3, 5])
def test_the_chosen_dot_product_suits_images_of_any_height(height):
    # Of the rows 0, 2, 3, 5 that two output rows read, the first takes 0 and 3: no neighbours, but alone they are.
    weights, geometry = np.full((1, 1, 2, 1), 127, np.int8), ((2, 1), (2, 2), (3, 1))
    step = Depthwise(best_isa(weights, *geometry[1:]), 1, 2 * height + 2, 4, 1, *geometry)
    assert step.plan.window.output[0] == height
    step.constants(weights, None, np.ones(1, np.float32))


def test_channel_slices_and_floats_out():
    x, weights, bias, multiplier = integers((1, 6, 7, 40), (3, 3), 5)
    part = slice(0, 20)
    step = Depthwise(best_isa(weights), 1, 6, 7, 20, (3, 3), pads=(1, 1, 1, 1), x_zero_point=9, output="f32", low=-2.0,
                     high=3.0, x_pitch=40, y_pitch=25)  # fmt: skip
    found = step.constants(weights[part], bias[part], multiplier[part])
    y = np.full((1, 6, 7, 25), 7, np.float32)
    *_, z = run_step(step, x.reshape(-1)[: 41 * 40 + 20], *found.values(), y.reshape(-1)[: 41 * 25 + 20])
    sums = naive.sums(x[..., part], weights[part], (1, 1), (1, 1), (1, 1, 1, 1), 9) + bias[part]
    padded = np.concatenate([z, np.full(5, 7, np.float32)]).reshape(y.shape)
    expected = np.clip(sums.astype(np.float32) * multiplier[part], np.float32(-2), np.float32(3))
    np.testing.assert_array_equal(padded[..., part], expected)
    assert (padded[..., 20:] == 7).all()


@settings(max_examples=8, deadline=None)
@given(
    geometries(), st.integers(0, 999), st.integers(1, 3), st.sampled_from([dot.name for dot in dots.DOTS if dot.real])
)
def test_floats(geometry, seed, tasks, isa):
    shape, kernel, *rest = geometry
    rng = np.random.default_rng(seed)
    isa = isa if dots.runs(dots.get(isa)) else dots.EMULATED + isa
    x, weights = rng.standard_normal(shape, np.float32), rng.standard_normal((shape[3], 1, *kernel), np.float32)
    bias = rng.standard_normal(shape[3], np.float32)
    step = FloatDepthwise(isa, *shape, kernel, *rest, low=-1.5, high=2.5, tasks=tasks)
    expected = np.clip(naive.sums(x, weights, *rest, 0) + bias, -1.5, 2.5)
    found = step.constants(weights, bias)
    *_, y = run_step(step, x, *found.values(), np.zeros(expected.shape, np.float32))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_floats_to_bytes():
    rng = np.random.default_rng(2)
    x, weights = rng.integers(-9, 9, (1, 5, 6, 19)), rng.integers(-9, 9, (19, 1, 3, 3))
    step = FloatDepthwise("fma_generic", 1, 5, 6, 19, (3, 3), output=Requantize(100))
    multiplier = np.full(19, 0.25, np.float32)
    found = step.constants(weights.astype(np.float32), None, multiplier)
    sums = naive.sums(x, weights, (1, 1), (1, 1), (0, 0, 0, 0), 0)
    *_, y = run_step(step, x.astype(np.float32), *found.values(), np.zeros(sums.shape, np.uint8))
    np.testing.assert_array_equal(y, naive.requantized(sums, multiplier, 100, 0, 255))


@pytest.mark.parametrize(
    "change",
    [{"isa": "fma_generic"}, {"isa": "nothing"}, {"channels": 0}, {"kernel": (9, 9)}, {"x_pitch": 3}, {"low": 0.0},
     {"output": "s8"}, {"x_zero_point": 300}],
)  # fmt: skip
def test_refusals(change):
    good = {"isa": "generic", "batch": 1, "height": 5, "width": 5, "channels": 4, "kernel": (3, 3)}
    Depthwise(**good)
    with pytest.raises(KernelError):
        Depthwise(**(good | change))


def test_weights_of_another_shape_are_refused():
    step = Depthwise("generic", 1, 5, 5, 4, (3, 3))
    with pytest.raises(KernelError, match=r"must be \(4, 1, 3, 3\)"):
        step.constants(np.zeros((4, 3, 3), np.int8), None, np.ones(4, np.float32))


def test_the_text_of_a_step_makes_it_again():
    names = {"Depthwise": Depthwise, "FloatDepthwise": FloatDepthwise, "Requantize": Requantize, "inf": inf}
    step = Depthwise("generic", 1, 5, 5, 4, (3, 3), output=Requantize(3, 1, 9))
    assert eval(repr(step), names) == step
    other = FloatDepthwise("fma_generic", 1, 5, 5, 4, (3, 3), low=0.0, high=6.0)
    assert eval(repr(other), names) == other
