"""Layer and RMS normalisation against loops: every remainder, residuals, u8 results, large means, any tasks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from edgebig.kernels.normalise import LayerNormalization, RMSNorm
from tests.kernels.memory import run_step
from tests.naive import normalise as naive


def data(step, seed=0, mean=0.0):
    rng = np.random.default_rng(seed)
    shape = (step.rows, step.columns)
    values = {
        "x": rng.normal(mean, 2, shape),
        "residual": rng.normal(0, 1, shape),
        "scale": rng.normal(1, 0.5, step.columns),
        "bias": rng.normal(0, 1, step.columns),
        "sum": np.zeros(shape),
    }
    return {name: value.astype(np.float32) for name, value in values.items() if name in step.operands}


def run(step, values, front=False):
    y = np.zeros(values["x"].shape, np.uint8 if step.output else np.float32)
    operands = [values.get(name, y) for name in step.operands]
    return dict(zip(step.operands, run_step(step, *operands, front=front), strict=True))


def oracle(step, values):
    x = values["x"] + values.get("residual", np.float32(0))
    scale = values["scale"].tolist() if "scale" in values else None
    bias = values["bias"].tolist() if "bias" in values else None
    if isinstance(step, RMSNorm):
        return x, np.array([naive.rms_norm(row, step.epsilon, scale) for row in x.tolist()])
    return x, np.array([naive.layer_norm(row, step.epsilon, scale, bias) for row in x.tolist()])


@settings(max_examples=20, deadline=None)
@given(
    kind=st.sampled_from([LayerNormalization, RMSNorm]),
    rows=st.integers(1, 6),
    columns=st.integers(1, 70),
    tasks=st.integers(1, 3),
    residual=st.sampled_from([{}, {"residual": True}, {"residual": True, "keep_sum": True}]),
    front=st.booleans(),
)
def test_shapes(kind, rows, columns, tasks, residual, front):
    step = kind(rows, columns, 1e-5, tasks=tasks, **residual)
    values = data(step, columns)
    got = run(step, values, front)
    total, expected = oracle(step, values)
    np.testing.assert_allclose(got["y"], expected, rtol=1e-5, atol=1e-5)
    if step.keep_sum:
        np.testing.assert_array_equal(got["sum"], total)


@pytest.mark.parametrize("kind", [LayerNormalization, RMSNorm])
@pytest.mark.parametrize("columns", [384, 576, 33])
def test_accuracy(kind, columns):
    step = kind(4, columns, 1e-12)
    values = data(step, 1)
    _, expected = oracle(step, values)
    bias = values.get("bias", np.float32(0))
    allowed = 2e-6 * np.abs(expected - bias).max(axis=1, keepdims=True) + 1e-7 * np.abs(expected)
    assert (np.abs(run(step, values)["y"] - expected) <= allowed).all()


def test_without_parameters():
    step = LayerNormalization(3, 40, 1e-5, affine=False)
    assert step.operands == ("x", "y")
    values = data(step)
    np.testing.assert_allclose(run(step, values)["y"], oracle(step, values)[1], rtol=1e-5, atol=1e-6)


def test_large_mean_and_constant_rows():
    step = LayerNormalization(2, 100, 1e-5)
    values = data(step, mean=1000.0)
    np.testing.assert_allclose(run(step, values)["y"], oracle(step, values)[1], atol=3e-4)
    values["x"][...] = 3.0
    np.testing.assert_array_equal(run(step, values)["y"], np.tile(values["bias"], (2, 1)))


@pytest.mark.parametrize("kind", [LayerNormalization, RMSNorm])
@pytest.mark.parametrize("columns", [20, 64])
def test_u8(kind, columns):
    step = kind(5, columns, 1e-5, residual=True, output=Requantize(113, 20, 240), out_scale=0.031, tasks=2)
    values = data(step, 5)
    _, expected = oracle(step, values)
    exact = np.clip(expected / 0.031 + 113, 20, 240)
    assert np.abs(run(step, values)["y"] - exact).max() <= 0.5 + 1e-3


def test_infinity_and_nan_stay_in_their_rows():
    step = LayerNormalization(3, 20, 1e-5)
    values = data(step)
    values["x"][0, 3], values["x"][2, 19] = np.inf, np.nan
    got = run(step, values)["y"]
    assert np.isnan(got[[0, 2]]).all() and np.isfinite(got[1]).all()


def test_sum_in_place_of_x_and_repr():
    step = LayerNormalization(2, 50, 1e-5, residual=True, keep_sum=True, output=Requantize(7), out_scale=0.1)
    assert eval(repr(step)) == step
    values = data(step)
    total, _ = oracle(step, values)
    x, y = values["x"].copy(), np.zeros((2, 50), np.uint8)
    places = [x, values["residual"], values["scale"], values["bias"], x, y]
    step.build()(*(place.ctypes.data for place in places), 0)
    np.testing.assert_array_equal(x, total)
    np.testing.assert_array_equal(y, run(step, values)["y"])


@pytest.mark.parametrize(
    "fields", [{"rows": 0}, {"columns": 0}, {"epsilon": -1.0}, {"keep_sum": True}, {"out_scale": 0.0}, {"tasks": 0}]
)
def test_refuses(fields):
    with pytest.raises(KernelError):
        RMSNorm(**({"rows": 2, "columns": 2, "epsilon": 1e-5} | fields))
