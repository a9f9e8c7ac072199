"""Rounding with feedback: against all roundings, the rule of pairs, groups; and moments against NumPy."""

import itertools

import numpy as np
import pytest

from edgebig.data.samples import open_samples
from edgebig.graph.interface import input_specs
from edgebig.quantize.algorithms.input_moments import InputMoments, observe_inputs
from edgebig.quantize.algorithms.layers import layers_of
from edgebig.quantize.algorithms.rounding import output_error, round_with_feedback
from edgebig.quantize.engine import StaticEngine
from edgebig.quantize.formats.qdq import WeightRule
from edgebig.quantize.prepare import prepare
from edgebig.quantize.weight_search_kernel import ANY_TWO, NEIGHBOURS, NO_PAIRS
from edgebig.targets import targets
from tests.quantize.build import build, normal


def correlated(groups: int, inputs: int) -> np.ndarray:
    x = normal(groups, 400, inputs // 4 + 1) @ normal(groups, inputs // 4 + 1, inputs, seed=1)
    x = x + 0.1 * normal(groups, 400, inputs, seed=2)
    return (x.transpose(0, 2, 1) @ x).astype(np.float64) / 400


@pytest.mark.parametrize("inputs", [7, 64, 130])
@pytest.mark.parametrize("pairs", [NO_PAIRS, NEIGHBOURS, ANY_TWO])
def test_feedback_lowers_the_error_of_the_output_and_pairs_obey(inputs: int, pairs: int) -> None:
    weight, inner = normal(2, 5, inputs, seed=3).astype(np.float64), correlated(2, inputs)
    scales = np.full((2, 5), np.abs(weight).max() / 64)
    found = round_with_feedback(weight, inner, scales, limit=127, pairs=pairs)
    nearest = np.rint(weight / scales[:, :, None]).astype(np.int8)
    assert found.dtype == np.int8
    assert output_error(weight, found, scales, inner) < 0.6 * output_error(weight, nearest, scales, inner)
    integers = found.astype(int)
    if pairs == NEIGHBOURS:
        assert np.abs(integers[:, :, 0 : inputs - 1 : 2] + integers[:, :, 1::2]).max() <= 128
    if pairs == ANY_TWO:
        assert np.abs(integers).max() <= 64


def test_pairs_that_would_break_the_rule_are_made_up_for_by_others() -> None:
    weight = np.array([[[1.0, 1.0, 0.02, 0.03]]])
    x = np.random.default_rng(0).standard_normal((500, 1)) + 0.2 * np.random.default_rng(1).standard_normal((500, 4))
    x[:, :2] *= 1.5  # the order of rounding is that of power: the pair comes first
    inner = (x.T @ x)[None] / 500
    scales = np.array([[0.01]])
    found = round_with_feedback(weight, inner, scales, limit=127, pairs=NEIGHBOURS)
    assert abs(int(found[0, 0, 0]) + int(found[0, 0, 1])) <= 128
    assert int(found[0, 0, 2:].astype(int).sum()) > 20  # nearest: 5
    cut = np.array([[[64, 64, 2, 3]]], np.int8)
    assert output_error(weight, found, scales, inner) < 0.5 * output_error(weight, cut, scales, inner)


def test_of_three_weights_the_best_rounding_is_found() -> None:
    weight, x = np.array([[[0.4, 0.4, 0.3]]]), np.ones((50, 3)) + 0.02 * normal(50, 3)
    inner, scales = (x.T @ x)[None] / 50, np.ones((1, 1))
    found = round_with_feedback(weight, inner, scales, limit=127, pairs=NO_PAIRS)
    all_roundings = [np.array([[q]], np.int8) for q in itertools.product((0, 1), repeat=3)]
    best = min(output_error(weight, q, scales, inner) for q in all_roundings)
    assert output_error(weight, found, scales, inner) == pytest.approx(best, rel=0.1)


def test_uncorrelated_inputs_are_rounded_to_the_nearest() -> None:
    weight = normal(1, 8, 16).astype(np.float64)
    scales = np.full((1, 8), 0.03)
    found = round_with_feedback(weight, np.diag(np.arange(1.0, 17.0))[None], scales, limit=127, pairs=NO_PAIRS)
    assert np.array_equal(found, np.rint(weight / 0.03))


def test_dead_inputs_do_not_stop_it() -> None:
    weight, inner = normal(1, 4, 6).astype(np.float64), np.zeros((1, 6, 6))
    found = round_with_feedback(weight, inner, np.full((1, 4), 0.05), limit=127, pairs=NO_PAIRS)
    assert np.array_equal(found, np.rint(weight / 0.05))


def test_moments_are_those_of_all_rows() -> None:
    moments = InputMoments()
    parts = [normal(2, 30, 5, seed=seed) + 10 for seed in range(3)]
    for part in parts:
        moments.add(part)
    x = np.concatenate(parts, axis=1).astype(np.float64)
    plain = x.transpose(0, 2, 1) @ x / 90
    centred = plain - x.mean(1)[:, :, None] * x.mean(1)[:, None, :]
    assert moments.inner(centred=False) == pytest.approx(plain, rel=1e-5)
    assert moments.inner(centred=True) == pytest.approx(centred, abs=1e-4)


@pytest.mark.parametrize("budget", [1 << 30, 1])
def test_every_layer_is_observed_whatever_the_budget(budget: int) -> None:
    text = """g (float[N, 4, 6, 6] x) => (float[N, 3] y) { a = Conv<pads = [1, 1, 1, 1]>(x, w) r = Relu(a)
        p = GlobalAveragePool(r) f = Flatten(p) y = Gemm<transB = 1>(f, h) }"""
    model = build(text, w=normal(5, 4, 3, 3), h=normal(3, 5))
    samples = open_samples({"x": normal(40, 4, 6, 6)}, input_specs(model), batch_size=8)
    engine = StaticEngine(prepare(model, next(iter(samples)), targets.get("ort-cpu")()))
    layers = layers_of(engine, WeightRule(8, pair_sums=False))
    found = list(observe_inputs(engine.prepared.model, layers, samples, budget=budget, threads=1))
    assert [layer.weighted.node.op_type for layer, _ in found] == ["Conv", "Gemm"]
    assert [moments.inner(centred=False).shape for _, moments in found] == [(1, 36, 36), (1, 5, 5)]
    assert [moments.rows for _, moments in found] == [40 * 36, 40]
