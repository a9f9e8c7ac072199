"""Equalisation and SmoothQuant: the float function stays, channels of unequal size come out right, limits stay."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.data.samples import open_samples
from edgebig.graph.interface import input_specs
from edgebig.quantize.algorithms.rescaled_engine import rescaled_engine
from edgebig.quantize.engine import StaticChoice, StaticEngine
from edgebig.quantize.formats.qdq import WeightRule
from edgebig.quantize.prepare import prepare
from edgebig.records.quantize import AlgorithmReport
from edgebig.targets import targets
from tests.quantize.build import build, normal, run, sqnr_db

RULE = WeightRule(8, pair_sums=True)
SPREAD = np.geomspace(1e-1, 1e2, 16).astype(np.float32)


def calibrated(model: ir.Model, feed: dict[str, np.ndarray]) -> StaticEngine:
    samples = open_samples(feed, input_specs(model), batch_size=16)
    engine = StaticEngine(prepare(model, next(iter(samples)), targets.get("ort-cpu")()))
    engine.calibrate(samples, engine.bytes_per_sample, budget=1 << 30, threads=1)
    return engine


def rescaled(
    model: ir.Model, feed: dict[str, np.ndarray], *, smooth: bool
) -> tuple[StaticEngine, StaticEngine, AlgorithmReport]:
    engine = calibrated(model, feed)
    samples = open_samples(feed, input_specs(model), batch_size=16)
    after, report = rescaled_engine(
        engine, samples, smooth=smooth, excluded=(), sizes=engine.bytes_per_sample, budget=1 << 30, threads=1
    )
    return engine, after, report


def quality(engine: StaticEngine, feed: dict[str, np.ndarray], reference: np.ndarray) -> float:
    result = engine.write(StaticChoice(ranges=engine.ranges("minmax"), rule=RULE))
    return sqnr_db(reference, run(result.model, feed))


def distance(found: np.ndarray, reference: np.ndarray) -> float:
    """The largest difference, as a share of the largest value."""
    return float(np.abs(found - reference).max() / np.abs(reference).max())


def depthwise(activation: str) -> tuple[ir.Model, dict[str, np.ndarray]]:
    """Conv, depthwise, conv, where the channels before and after the depthwise one are up to 1000 apart."""
    text = f"""g (float[N, 8, 6, 6] x) => (float[N, A, B, C] y) {{
        a = Conv(x, v, va) r = {activation}(a) d = Conv<group = 16, pads = [1, 1, 1, 1]>(r, w, wa)
        s = {activation}(d) y = Conv(s, u, ua) }}"""
    rows = SPREAD.reshape(-1, 1, 1, 1)
    arrays = {
        "v": normal(16, 8, 1, 1) * rows,
        "va": normal(16, seed=1) * SPREAD,
        "w": normal(16, 1, 3, 3, seed=2),
        "wa": normal(16, seed=3) * SPREAD,
        "u": normal(8, 16, 1, 1, seed=4) / rows.reshape(1, -1, 1, 1),
        "ua": normal(8, seed=5),
    }
    return build(text, **arrays), {"x": normal(32, 8, 6, 6, seed=6)}


@pytest.mark.parametrize("activation", ["Relu", "LeakyRelu<alpha = 0.1>"])
def test_depthwise_channels_with_ranges_1000_apart_come_out_right(activation: str) -> None:
    model, feed = depthwise(activation)
    reference = run(model, feed)
    before, after, report = rescaled(model, feed, smooth=False)
    assert report.kept
    assert len(report.where) == 2
    assert distance(run(after.prepared.model, feed), reference) < 1e-4
    assert quality(before, feed, reference) < 15
    assert quality(after, feed, reference) > 31


def test_the_scaled_model_is_calibrated_as_if_it_were_given() -> None:
    model, feed = depthwise("Relu")
    _, after, _ = rescaled(model, feed, smooth=False)
    fresh = calibrated(after.prepared.model, feed)
    expected = fresh.ranges("minmax")
    for name, found in after.ranges("minmax").items():
        assert found == pytest.approx(expected[name])


@pytest.mark.parametrize("upper", [6.0, 1e4])
def test_a_clip_with_an_upper_limit_is_left_alone(upper: float) -> None:
    text = (
        """g (float[N, 8, 6, 6] x) => (float[N, A, B, C] y) { a = Conv(x, v) r = Clip(a, zero, six) y = Conv(r, u) }"""
    )
    v, u = normal(16, 8, 1, 1) * SPREAD.reshape(-1, 1, 1, 1), normal(8, 16, 1, 1) / SPREAD.reshape(1, -1, 1, 1)
    model = build(text, v=v, u=u, zero=np.float32(0), six=np.float32(upper))
    before, after, report = rescaled(model, {"x": normal(32, 8, 6, 6)}, smooth=False)
    assert after is before
    assert not report.kept
    assert report.skipped == ("r: the upper limit of its Clip is fixed",)


NORMALISED = """g (float[N, 12, 16] x) => (float[N, 12, 8] y, float[N, 12, 8] z) {
    n = LayerNormalization(x, gamma, beta) q = MatMul(n, a) y = Add(q, ba) z = MatMul(n, b) }"""


def test_a_normalisation_takes_the_factors_of_all_its_matrices() -> None:
    gamma = SPREAD.copy()
    weights = [normal(16, 8, seed=seed) / SPREAD[:, None] for seed in (1, 2)]
    model = build(NORMALISED, gamma=gamma, beta=normal(16) * SPREAD, a=weights[0], b=weights[1], ba=normal(8, seed=3))
    feed = {"x": normal(32, 12, 16, seed=4)}
    reference = run(model, feed)
    before, after, report = rescaled(model, feed, smooth=True)
    assert [row.split(" ")[0] for row in report.where] == ["n"]
    assert len(after.prepared.model.graph) == len(before.prepared.model.graph)
    assert distance(run(after.prepared.model, feed), reference) < 1e-4
    assert quality(after, feed, reference) > quality(before, feed, reference) + 15


def test_a_mul_is_put_in_where_a_residual_reads_too_and_it_is_worth_it() -> None:
    text = """g (float[N, 12, 16] x) => (float[N, 12, 16] y) {
        n = LayerNormalization(x, gamma, beta) q = MatMul(n, a) y = Add(q, n) }"""

    def make(spread: np.ndarray) -> ir.Model:
        arrays = {"gamma": spread, "beta": normal(16) * spread, "a": normal(16, 16, seed=1) * 30 / spread[:, None]}
        return build(text, **{name: array.astype(np.float32) for name, array in arrays.items()})

    feed = {"x": normal(32, 12, 16, seed=4)}
    reference = run(make(SPREAD), feed)
    before, after, report = rescaled(make(SPREAD), feed, smooth=True)
    assert report.kept
    assert sum(node.op_type == "Mul" for node in after.prepared.model.graph) == 1
    assert distance(run(after.prepared.model, feed), reference) < 1e-4
    assert quality(after, feed, reference) > quality(before, feed, reference) + 6
    _, same, left = rescaled(make(np.geomspace(1, 4, 16)), feed, smooth=True)
    assert not left.kept
    assert same.prepared.model.graph.num_nodes() == 3


def test_a_gate_passes_factors_to_the_layer_that_makes_the_other_half() -> None:
    text = """g (float[N, 8] x) => (float[N, 8] y) {
        a = MatMul(x, v) s = Sigmoid(a) b = MatMul(x, w) m = Mul(s, b) y = MatMul(m, u) }"""
    arrays = {"v": normal(8, 16), "w": normal(8, 16, seed=1) * SPREAD, "u": normal(16, 8, seed=2) / SPREAD[:, None]}
    model, feed = build(text, **arrays), {"x": normal(64, 8, seed=3)}
    reference = run(model, feed)
    before, after, report = rescaled(model, feed, smooth=True)
    assert [row.split(" ")[0] for row in report.where] == ["m"]
    assert distance(run(after.prepared.model, feed), reference) < 1e-4
    assert quality(after, feed, reference) > quality(before, feed, reference) + 10


@settings(deadline=None, max_examples=10)
@given(
    st.integers(1, 3),
    st.sampled_from(["Relu(a)", "LeakyRelu(a)", "PRelu(a, slope)", "MaxPool<kernel_shape = [2, 2]>(a)", "Identity(a)"]),
    st.integers(0, 100),
    st.booleans(),
)
def test_the_float_function_does_not_change(kernel: int, between: str, seed: int, bias: bool) -> None:
    text = f"""g (float[N, 6, 7, 7] x) => (float[N, A, B, C] y) {{
        a = Conv<group = 2>(x, v{", va" if bias else ""}) r = {between} y = Conv(r, u) }}"""
    spread = np.random.default_rng(seed).permutation(np.geomspace(1e-2, 1e1, 8)).astype(np.float32)
    arrays = {"v": normal(8, 3, kernel, kernel, seed=seed) * spread.reshape(-1, 1, 1, 1), "u": normal(4, 8, 2, 2)}
    arrays |= {"va": normal(8, seed=seed + 1)} if bias else {}
    arrays |= {"slope": np.abs(normal(8, 1, 1))} if "slope" in between else {}
    model, feed = build(text, **arrays), {"x": normal(8, 6, 7, 7, seed=seed + 2)}
    reference = run(model, feed)
    _, after, report = rescaled(model, feed, smooth=False)
    assert report.kept
    assert distance(run(after.prepared.model, feed), reference) < 2e-5


def test_shared_weights_and_outputs_of_the_model_are_left_alone() -> None:
    shared = "g (float[N, 8, 6, 6] x) => (float[N, 8, 6, 6] y) { a = Conv(x, v) r = Relu(a) y = Conv(r, v) }"
    exposed = """g (float[N, 8, 6, 6] x) => (float[N, 8, 6, 6] y, float[N, 8, 6, 6] r) {
        a = Conv(x, v) r = Relu(a) y = Conv(r, u) }"""
    rows = np.geomspace(1e-2, 1e1, 8).astype(np.float32).reshape(-1, 1, 1, 1)
    arrays = {"v": normal(8, 8, 1, 1) * rows}
    for text, more in ((shared, {}), (exposed, {"u": normal(8, 8, 1, 1)})):
        model, feed = build(text, **arrays, **more), {"x": normal(16, 8, 6, 6)}
        before, after, report = rescaled(model, feed, smooth=False)
        assert after is before
        assert not report.kept
