"""Functions of floats against Python's own: dense sweeps, infinities, denormals, every remainder, any tasks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.kernels.errors import KernelError
from edgebig.kernels.float_unary import PLAIN, WITH_PARAMETERS, FloatUnary
from tests.kernels.memory import run_step
from tests.naive import float_unary as naive

# Relative error, and the absolute error below which none is asked for. Where a function is a difference of nearly
# equal numbers (gelu far below 0, the corners of the hard functions), the error is bounded by that of x instead.
TOLERANCES = {
    "exp": (2e-7, 1e-43),
    "log": (3e-7, 0.0),
    "tanh": (4e-7, 5e-43),
    "erf": (6e-7, 5e-43),
    "sigmoid": (3e-7, 1.2e-38),
    "softplus": (4e-7, 1e-43),
    "elu": (6e-7, 1e-42),
    "gelu_tanh": (2e-6, 1e-12),
    "silu": (6e-6, 2e-36),  # the exponent 1.702 * x is rounded to float32
    "sqrt": (1e-7, 0.0),
    "reciprocal": (1e-7, 1e-44),
}
OF_X = {"gelu": 4e-7, "gelu_tanh": 4e-7, "hardswish": 2e-7}
OF_ONE = {"hardsigmoid": 2e-7}


def sweep() -> np.ndarray:
    sizes = np.geomspace(1e-44, 3e38, 4001)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, -87.33654, -87.336, -88.0, 88.72, 88.73, 1.0, 2.0**-126, 9.0, -9.0]
    parts = [np.linspace(-110, 110, 9001), np.linspace(-6, 6, 9001), sizes, -sizes, special]
    return np.concatenate(parts).astype(np.float32)


@pytest.mark.parametrize("kind", [*PLAIN, *WITH_PARAMETERS])
def test_accuracy(kind):
    x = sweep()
    step = FloatUnary(kind, x.size, *naive.PARAMETERS.get(kind, ()))
    _, y = run_step(step, x, np.zeros_like(x))
    relative, absolute = TOLERANCES.get(kind, (1e-7, 2e-45))
    largest = float(np.finfo(np.float32).max)
    for value, got in zip(x.tolist(), y.tolist(), strict=True):
        expected = naive.evaluate(kind, value)
        if math.isnan(expected):
            assert math.isnan(got), (kind, value, got)
        elif abs(expected) > largest * (1 + 2e-7):
            assert got == math.copysign(math.inf, expected), (kind, value, got)
        elif not math.isinf(got) or abs(expected) < largest * (1 - 2e-7):
            allowed = (
                relative * abs(expected) + absolute + OF_X.get(kind, 0) * min(abs(value), largest) + OF_ONE.get(kind, 0)
            )
            assert abs(got - expected) <= allowed, (kind, value, got, expected)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 130), st.integers(1, 4), st.sampled_from([*PLAIN, *WITH_PARAMETERS]), st.booleans())
def test_any_size_and_tasks(size, tasks, kind, front):
    x = np.random.default_rng(size).normal(0, 3, size).astype(np.float32)
    step = FloatUnary(kind, size, *naive.PARAMETERS.get(kind, ()), tasks=tasks)
    _, y = run_step(step, x, np.zeros_like(x), front=front)
    expected = [naive.evaluate(kind, value) for value in x.tolist()]
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-6)


def test_in_place():
    x = np.linspace(-4, 4, 77, dtype=np.float32)
    y = x.copy()
    FloatUnary("tanh", 77).build()(y.ctypes.data, y.ctypes.data, 0)
    np.testing.assert_allclose(y, np.tanh(x), rtol=1e-6)


def test_defaults_are_those_of_onnx():
    x = np.array([-1.0, 0.5, 3.0], np.float32)
    for kind, expected in [
        ("leaky_relu", [-0.01, 0.5, 3.0]),
        ("elu", [math.expm1(-1), 0.5, 3.0]),
        ("hardsigmoid", [0.3, 0.6, 1.0]),
        ("clip", [-1.0, 0.5, 3.0]),
    ]:
        np.testing.assert_allclose(run_step(FloatUnary(kind, 3), x, x)[1], expected, rtol=1e-6)


def test_repr_rebuilds():
    step = FloatUnary("elu", 9, 0.5, tasks=2)
    assert eval(repr(step)) == step


@pytest.mark.parametrize(
    "fields", [("sine", 4), ("relu", 0), ("relu", 4, 1.0), ("relu", 4, None, None, 0), ("elu", 4, 1.0, 2.0)]
)
def test_refuses(fields):
    with pytest.raises(KernelError):
        FloatUnary(*fields)
