"""GPTQ: on correlated inputs it errs less than rounding, and the sums it needs are streamed."""

import itertools

import numpy as np
import pytest

from edgebig.data.samples import open_samples
from edgebig.errors import InvalidDataError
from edgebig.graph.interface import input_specs
from edgebig.quantize.weight_only import WeightOnlySettings, quantize_weights
from edgebig.quantize.weight_only.gptq import Grid, round_with_feedback
from edgebig.quantize.weight_only.hessians import observe_hessians
from tests.quantize.build import build, normal, run, sqnr_db


def correlated(rows: int, inputs: int) -> np.ndarray:
    """Inputs of few directions, some channels much larger than others."""
    sizes = np.geomspace(0.1, 10, inputs).astype(np.float32)
    return (
        normal(rows, inputs // 4) @ normal(inputs // 4, inputs, seed=1) + 0.1 * normal(rows, inputs, seed=2)
    ) * sizes


def loss(weight: np.ndarray, kept: np.ndarray, x: np.ndarray) -> float:
    return float(np.square(x @ (weight - kept).T).mean())


def test_feedback_lowers_the_error_of_the_outputs() -> None:
    x, weight = correlated(512, 64).astype(np.float64), normal(24, 64, seed=3)
    grid = Grid(np.full((24, 2), 0.4, np.float32), np.full((24, 2), 8, np.uint8), 15, 32)

    def kept(q: np.ndarray) -> np.ndarray:
        return 0.4 * (q.astype(np.float64) - 8)

    rounded = np.clip(np.rint(weight / 0.4) + 8, 0, 15)
    fed = round_with_feedback(weight, x.T @ x / len(x), grid, 0.01)
    assert fed.dtype == np.uint8
    assert fed.max() <= 15
    assert loss(weight, kept(fed), x) < 0.25 * loss(weight, kept(rounded), x)


def test_uncorrelated_inputs_are_rounded_to_the_nearest() -> None:
    weight = normal(8, 16)
    grid = Grid(np.full((8, 1), 0.4, np.float32), np.full((8, 1), 8, np.uint8), 15, 16)
    fed = round_with_feedback(weight, np.diag(np.arange(16.0)), grid, 0.01)
    assert np.array_equal(fed, np.clip(np.rint(weight / np.float32(0.4)) + 8, 0, 15))


def test_two_small_weights_against_all_roundings() -> None:
    """With equal inputs only the sum of the weights counts; feedback finds the best sum."""
    weight = np.array([[0.4, 0.4]], np.float32)
    x = np.ones((10, 2)) + 0.01 * normal(10, 2)
    grid = Grid(np.ones((1, 1), np.float32), np.zeros((1, 1), np.uint8), 15, 16)
    fed = round_with_feedback(weight, x.T @ x / len(x), grid, 1e-6)
    best = min(itertools.product(range(3), repeat=2), key=lambda q: loss(weight, np.array([q]), x))
    assert loss(weight, fed.astype(np.float64), x) == pytest.approx(loss(weight, np.array([best]), x), rel=0.1)


TEXT = "m (float[n, 64] x) => (float[n, 24] y) { h = MatMul(x, a) r = Relu(h) y = MatMul(r, b) }"


@pytest.mark.parametrize("form", ["nbits", "qdq"])
@pytest.mark.parametrize("budget", [1 << 30, 1])
def test_gptq_on_a_model_beats_rounding(form: str, budget: int) -> None:
    model = build(TEXT, a=normal(64, 96), b=normal(96, 24, seed=1))
    x = correlated(256, 64)
    samples = open_samples({"x": x[:192]}, input_specs(model))
    quality = {}
    for method in ("rtn", "gptq"):
        how = WeightOnlySettings(method=method, format=form, symmetric=True, ram_budget=budget, threads=1)
        result, changes = quantize_weights(model, settings=how, samples=samples)
        held_out = {"x": x[192:]}
        quality[method] = sqnr_db(run(model, held_out), run(result, held_out, optimize=False))
    assert all("GPTQ" in change.how for change in changes)
    assert quality["gptq"] > quality["rtn"] + 3


def test_hessians_are_those_of_all_rows_at_once() -> None:
    model = build(TEXT, a=normal(64, 96), b=normal(96, 24, seed=1))
    x = normal(50, 64, seed=5)
    samples = open_samples({"x": x}, input_specs(model), batch_size=7)
    found = observe_hessians(model, ["x", "r"], samples, threads=1, description="")
    hidden = np.maximum(x.astype(np.float64) @ normal(64, 96), 0)
    for name, rows in {"x": x.astype(np.float64), "r": hidden}.items():
        np.testing.assert_allclose(found[name], rows.T @ rows / 50, rtol=1e-4, atol=1e-4)


def test_overflowing_activations_are_refused() -> None:
    model = build(TEXT, a=normal(64, 96, scale=1e30), b=normal(96, 24, seed=1))
    samples = open_samples({"x": normal(4, 64, scale=1e20)}, input_specs(model))
    with pytest.raises(InvalidDataError, match="overflows"):
        quantize_weights(model, settings=WeightOnlySettings(method="gptq"), samples=samples)
