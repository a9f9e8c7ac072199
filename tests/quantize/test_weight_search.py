"""The search for weight scales: never worse than the largest weight's scale, and it obeys the rule of pairs."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgebig.data.samples import open_samples
from edgebig.graph.interface import input_specs
from edgebig.graph.weights import WeightedNode, weighted_nodes
from edgebig.quantize.engine import StaticChoice, StaticEngine
from edgebig.quantize.formats.qdq import WeightRule
from edgebig.quantize.prepare import prepare
from edgebig.quantize.weight_search import column_importance, pair_rule
from edgebig.quantize.weight_search_kernel import ANY_TWO, NEIGHBOURS, NO_PAIRS, round_row
from edgebig.quantize.weights import QuantizedWeight, quantize_weight
from edgebig.targets import targets
from tests.quantize.build import build, normal, run, sqnr_db


def gemm(array: np.ndarray) -> WeightedNode:
    text = f"g (float[N, {array.shape[1]}] x) => (float[N, {array.shape[0]}] y) {{ y = Gemm<transB = 1>(x, w) }}"
    return next(weighted_nodes(build(text, w=array).graph))


def conv(array: np.ndarray, groups: int = 1) -> WeightedNode:
    channels = array.shape[1] * groups
    text = f"g (float[N, {channels}, 8, 8] x) => (float[N, A, B, C] y) {{ y = Conv<group = {groups}>(x, w) }}"
    return next(weighted_nodes(build(text, w=array).graph))


def weighted_error(found: QuantizedWeight, node: WeightedNode, importance: np.ndarray) -> float:
    back = found.integers * found.scales.reshape([-1] + [1] * (found.integers.ndim - 1))
    return float((np.square(node.to_matrix(back - node.array()).astype(np.float64)) * importance).sum())


@pytest.mark.parametrize("pairs", [False, True])
def test_an_outlier_is_cut_where_its_channel_sees_nothing(pairs: bool) -> None:
    array = normal(4, 32, scale=0.1)
    array[:, 5] = 2.0
    mean_squares = np.ones(32)
    mean_squares[5] = 1e-6
    node = gemm(array)
    found = quantize_weight(node, 8, pair_sums=pairs, search=True, mean_squares=mean_squares)
    plain = quantize_weight(node, 8, pair_sums=pairs)
    importance = column_importance(node, mean_squares)
    assert (found.scales < 0.5 * plain.scales).all()
    assert weighted_error(found, node, importance) < 0.5 * weighted_error(plain, node, importance)


@settings(deadline=None, max_examples=40)
@given(hnp.arrays(np.float32, (3, 10), elements=st.floats(-4, 4, width=32)), st.booleans())
def test_the_search_is_never_worse(array: np.ndarray, pairs: bool) -> None:
    """Than the scale of the largest weight; under the rule of pairs, than that of seven bits."""
    node = gemm(array)
    found, plain = quantize_weight(node, 8, pair_sums=pairs, search=True), quantize_weight(node, 7 if pairs else 8)
    uniform = np.ones((1, 10))
    assert weighted_error(found, node, uniform) <= weighted_error(plain, node, uniform) * (1 + 1e-4) + 1e-12
    if pairs:
        integers = found.integers.astype(int)
        assert np.abs(integers[:, 0::2] + integers[:, 1::2]).max() <= 128


@pytest.mark.parametrize("limit", [127, 64])
def test_a_pair_goes_to_the_nearest_integers_that_obey(limit: int) -> None:
    """Against all pairs of integers."""
    rng = np.random.default_rng(0)
    every = np.array(list(itertools.product(range(-limit, limit + 1), repeat=2)))
    allowed = every[np.abs(every.sum(axis=1)) <= 128]
    for _ in range(20):
        row = rng.uniform(-140, 140, 2).astype(np.float32)
        importance = rng.uniform(0.1, 2.0, 2).astype(np.float32)
        out = np.empty(2, np.float32)
        round_row(row, np.float32(1), importance, limit, NEIGHBOURS, out)
        errors = (importance * np.square(allowed - row)).sum(axis=1)
        own = float((importance * np.square(out - row)).sum())
        assert (np.abs(out) <= limit).all()
        assert abs(out.sum()) <= 128
        assert own <= errors.min() * 1.0001 + 1e-3


def test_any_two_weights_of_a_row_may_meet_where_positions_hold_an_odd_number_of_channels() -> None:
    node = conv(np.abs(normal(4, 3, 3, 3)))
    assert pair_rule(node, pair_sums=True) == ANY_TWO
    found = quantize_weight(node, 8, pair_sums=True, search=True).integers.reshape(4, -1).astype(int)
    assert (np.sort(found, axis=1)[:, -2:].sum(axis=1) <= 128).all()
    assert pair_rule(conv(normal(4, 4, 3, 3)), pair_sums=True) == NEIGHBOURS
    assert pair_rule(conv(normal(4, 3, 1, 1)), pair_sums=True) == NEIGHBOURS
    assert pair_rule(conv(normal(4, 3, 3, 3)), pair_sums=False) == NO_PAIRS


def test_importance_follows_the_input_channels_of_groups_and_kernel_positions() -> None:
    node = conv(normal(4, 2, 1, 3), groups=2)
    found = column_importance(node, np.array([1.0, 2.0, 3.0, 4.0]))
    assert found == pytest.approx(np.array([[1, 2] * 3, [3, 4] * 3]) / 2.5)
    assert column_importance(node, np.zeros(4)) == pytest.approx(np.ones((1, 6)))


def test_scales_stay_above_their_limits() -> None:
    smallest = np.full(4, 0.05, np.float32)
    found = quantize_weight(gemm(normal(4, 16, scale=0.1)), 8, search=True, smallest=smallest)
    assert (found.scales >= smallest).all()


def test_a_given_weight_whose_scales_leave_no_room_for_the_bias_is_quantized_anew() -> None:
    array = normal(4, 8, scale=1e-9)
    text = "g (float[N, 8] x) => (float[N, 4] y) { y = Gemm<transB = 1>(x, w, b) }"
    model, feed = build(text, w=array, b=np.full(4, 3.0, np.float32)), {"x": normal(16, 8)}
    samples = open_samples(feed, input_specs(model))
    engine = StaticEngine(prepare(model, feed, targets.get("ort-cpu")()))
    engine.calibrate(samples, engine.bytes_per_sample, budget=1 << 30, threads=1)
    (unit,) = engine.plan.placement.units
    assert unit.weighted is not None
    given_weight = quantize_weight(unit.weighted, 8, search=True)
    choice = StaticChoice(
        ranges=engine.ranges("minmax"),
        rule=WeightRule(8, pair_sums=False),
        weights={unit.node.name or "": given_weight},
    )
    result = engine.write(choice)
    (written,) = result.writer.weights.values()
    assert (written.scales > given_weight.scales).all()
    assert sqnr_db(run(model, feed), run(result.model, feed)) > 40
