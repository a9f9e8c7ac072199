"""Conversions against loops: every rounding case, every remainder, any number of tasks, in place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.kernels.convert import Dequantize, Flip, Quantize, Requant
from edgebig.kernels.errors import KernelError
from tests.kernels.memory import run_step
from tests.naive import convert as naive

SIZES = st.integers(1, 300)
TASKS = st.integers(1, 5)
POINTS = st.integers(0, 255)
few = settings(max_examples=12, deadline=None)


@few
@given(SIZES, TASKS, st.sampled_from([0.5, 0.0173, 1.0, 3e-5]), POINTS, st.integers(0, 2**32 - 1))
def test_quantize(size, tasks, scale, point, seed):
    rng = np.random.default_rng(seed)
    x = (rng.integers(-900, 900, size).astype(np.float32) * np.float32(scale / 2)).astype(np.float32)
    _, y = run_step(Quantize(size, scale, point, tasks=tasks), x, np.zeros(size, np.uint8))
    np.testing.assert_array_equal(y, naive.quantize(x, scale, point))


def test_quantize_extremes_and_range():
    x = np.array(
        [np.nan, np.inf, -np.inf, 3e38, -3e38, 0.5, 1.5, 2.5, -0.5, -1.5, 254.5, 255.5, 1e9, -1e9, 0], np.float32
    )
    x = np.concatenate([x, np.resize(x, 45)])
    for low, high, point in [(0, 255, 0), (0, 255, 128), (3, 200, 7)]:
        _, y = run_step(Quantize(x.size, 1.0, point, low, high), x, np.zeros(x.size, np.uint8))
        np.testing.assert_array_equal(y, naive.quantize(x, 1.0, point, low, high))


@few
@given(SIZES, TASKS, st.sampled_from([0.5, 0.0173, 7e-6]), POINTS, st.integers(0, 2**32 - 1))
def test_dequantize(size, tasks, scale, point, seed):
    x = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    _, y = run_step(Dequantize(size, scale, point, tasks), x, np.zeros(size, np.float32))
    np.testing.assert_array_equal(y, naive.dequantize(x, scale, point))


@pytest.mark.parametrize(("x_scale", "y_scale"), [(0.02, 0.03), (0.5, 0.25), (1.0, 2.0), (3e-5, 1e-4)])
def test_requant_equals_the_two_operators(x_scale, y_scale):
    x = np.arange(256, dtype=np.uint8)
    _, y = run_step(Requant(256, x_scale, 13, y_scale, 101, 5, 250), x, np.zeros(256, np.uint8))
    expected = naive.quantize(naive.dequantize(x, x_scale, 13), y_scale, 101, 5, 250)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("size", [1, 31, 64, 97, 200])
def test_flip_in_place(size):
    x = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    run = Flip(size).build()
    y = x.copy()
    run(y.ctypes.data, y.ctypes.data, 0)
    np.testing.assert_array_equal(y.view(np.int8).astype(int) + 128, x)


@pytest.mark.parametrize("size", [29, 130])
def test_nothing_before_or_behind_is_touched(size):
    x = np.full(size, 3, np.float32)
    for front in (False, True):
        _, y = run_step(Quantize(size, 1.0, 9), x, np.zeros(size, np.uint8), front=front)
        assert (y == 12).all()
        _, z = run_step(Dequantize(size, 1.0, 9), y, np.zeros(size, np.float32), front=front)
        np.testing.assert_array_equal(z, x)


@pytest.mark.parametrize(
    "arguments",
    [{"size": 0, "scale": 1.0}, {"size": 1, "scale": 0.0}, {"size": 1, "scale": float("nan")},
     {"size": 1, "scale": 1.0, "zero_point": 256}, {"size": 1, "scale": 1.0, "low": 9, "high": 8},
     {"size": 1, "scale": 1.0, "tasks": 0}],
)  # fmt: skip
def test_refusals(arguments):
    with pytest.raises(KernelError):
        Quantize(**arguments)


def test_the_text_of_a_step_makes_it_again():
    step = Requant(7, 0.1, 3, 0.3, 4, tasks=2)
    assert eval(repr(step)) == step
