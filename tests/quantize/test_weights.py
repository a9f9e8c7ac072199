"""Weights in integers: zeros, scales per channel, sums that fit 16 bits, biases; and that saturation is real."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgebig.graph.weights import WeightedNode, weighted_nodes
from edgebig.quantize import quantize_model
from edgebig.quantize.formats.qdq import WeightRule
from edgebig.quantize.weight_bits import portability_notes, weight_rule
from edgebig.quantize.weights import LARGEST_BIAS, bias_scale_limits, mean_shift, quantize_bias, quantize_weight
from edgebig.records.quantize import QuantizeOptions
from edgebig.targets import targets
from edgebig.targets.cpu_features import has_vnni, is_x86
from tests.naive.quantize_affine import pair_sums
from tests.quantize.build import build, normal, run, sqnr_db

LAYOUTS = {
    "Conv": ("Conv(x, w)", "N, 6, 8, 8", (8, 6, 3, 3), 0),
    "Conv with groups": ("Conv<group = 2>(x, w)", "N, 12, 8, 8", (8, 6, 3, 3), 0),
    "ConvTranspose with groups": ("ConvTranspose<group = 2>(x, w)", "N, 8, 8, 8", (8, 6, 3, 3), 1),
    "Gemm": ("Gemm(x, w)", "N, 8", (8, 6), 1),
    "Gemm transposed": ("Gemm<transB = 1>(x, w)", "N, 6", (8, 6), 0),
    "MatMul": ("MatMul(x, w)", "N, 8", (8, 6), 1),
}


def axes(shape: str) -> str:
    """As many dynamic axes."""
    return ", ".join("NABCD"[: len(shape.split(", "))])


def weighted(layout: str, array: np.ndarray | None = None) -> WeightedNode:
    call, shape, weight_shape, _ = LAYOUTS[layout]
    array = normal(*weight_shape) if array is None else array
    model = build(f"g (float[{shape}] x) => (float[{axes(shape)}] y) {{ y = {call} }}", w=array)
    return next(weighted_nodes(model.graph))


def restored(node: WeightedNode, bits: int, *, pairs: bool) -> tuple[np.ndarray, np.ndarray]:
    found = quantize_weight(node, bits, pair_sums=pairs)
    shape = [-1 if i == found.axis else 1 for i in range(found.integers.ndim)]
    return found.integers * found.scales.reshape(shape), found.scales.reshape(shape)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("bits", [7, 8])
def test_the_error_is_half_a_step_and_zeros_stay(layout: str, bits: int) -> None:
    array = normal(*LAYOUTS[layout][2]) * (np.random.default_rng(1).random(LAYOUTS[layout][2]) > 0.5)
    node = weighted(layout, array.astype(np.float32))
    back, scales = restored(node, bits, pairs=False)
    assert quantize_weight(node, bits).axis == LAYOUTS[layout][3]
    assert (np.abs(back - array) <= scales * 0.5001).all()
    assert (back[array == 0] == 0).all()
    assert np.abs(quantize_weight(node, bits).integers.astype(int)).max() == (127 if bits == 8 else 64)


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.float32, (4, 3, 2, 2), elements=st.floats(-4, 4, width=32)), st.integers(0, 1))
def test_no_pair_of_neighbours_exceeds_128_and_seven_bits_are_never_needed(array: np.ndarray, odd: int) -> None:
    array = array if odd else np.concatenate([array, array[:, :1]], axis=1)
    text = f"g (float[N, {array.shape[1]}, 8, 8] x) => (float[N, 4, 7, 7] y) {{ y = Conv(x, w) }}"
    node = next(weighted_nodes(build(text, w=array).graph))
    found = quantize_weight(node, 8, pair_sums=True)
    rows = np.moveaxis(found.integers, 1, -1).reshape(4, -1).astype(int)
    assert max(pair_sums(rows.tolist())) <= 128
    narrow = quantize_weight(node, 7)
    assert (found.scales <= narrow.scales * 1.001 + 1e-12).all()


def test_matrices_pair_along_the_inputs_also_when_their_number_is_odd() -> None:
    node = weighted("MatMul", np.full((7, 6), 1.0, np.float32))
    found = quantize_weight(node, 8, pair_sums=True)
    assert max(pair_sums(found.integers.T.astype(int).tolist())) <= 128
    assert found.integers.max() == 64


def test_a_channel_of_zeros_takes_a_usual_scale() -> None:
    array = normal(6, 6)
    array[2] = 0.0
    found = quantize_weight(weighted("Gemm transposed", array), 8)
    live = np.delete(found.scales, 2)
    assert live.min() <= found.scales[2] <= live.max()
    assert (found.integers[2] == 0).all()
    assert (quantize_weight(weighted("Gemm", np.zeros((8, 6), np.float32)), 8).scales == np.float32(1 / 127)).all()


def test_biases_are_exact_to_half_a_step_and_never_overflow() -> None:
    array, bias = normal(6, 6), np.array([0.5, -3.0, 1e6, -1e6, 0.0, 7.0], np.float32)
    array[3] *= np.float32(1e-12)
    limits = bias_scale_limits(bias, 0.02)
    found = quantize_weight(weighted("Gemm transposed", array), 8, smallest=limits)
    integers = quantize_bias(bias, 0.02, found.scales)
    steps = np.float32(0.02) * found.scales
    assert (np.abs(integers.astype(np.int64)) <= LARGEST_BIAS * 1.001).all()
    assert (np.abs(integers * steps.astype(np.float64) - bias) <= steps * 0.51 + 1e-7 * np.abs(bias)).all()


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "ConvTranspose with groups"])
def test_the_mean_shift_is_that_of_constant_inputs(layout: str) -> None:
    node = weighted(layout)
    found = quantize_weight(node, 7)
    back, _ = restored(node, 7, pairs=False)
    call, shape, _, _ = LAYOUTS[layout]
    sizes = [2 if size == "N" else int(size) for size in shape.split(", ")]
    means = normal(sizes[1], seed=5)
    x = np.broadcast_to(means.reshape([-1 if i == 1 else 1 for i in range(len(sizes))]), sizes).astype(np.float32)
    text = f"g (float[{shape}] x) => (float[{axes(shape)}] y) {{ y = {call} }}"
    before = run(build(text, w=node.array()), {"x": x})
    after = run(build(text, w=back.astype(np.float32)), {"x": x})
    difference = np.moveaxis(after - before, 1, 0).reshape(before.shape[1], -1)
    assert mean_shift(node, found, means) == pytest.approx(difference[:, 0], abs=1e-5)


def test_shared_weights_are_stored_once() -> None:
    text = """g (float[N, 16] x) => (float[N, 16] y) {
        a = Gemm<transB = 1>(x, w, b) r = Relu(a) c = Gemm<transB = 1>(r, w, b) s = Relu(c)
        y = Gemm<transB = 1>(s, v, b) }"""
    weight = normal(16, 16, scale=0.2)
    model = build(text, w=weight, v=weight.copy(), b=np.zeros(16, np.float32))
    feed = {"x": normal(64, 16)}
    result, _ = quantize_model(model, data=feed, options=QuantizeOptions(threads=1, scheme="int8", effort="fast"))
    stored = [value for value in result.graph.initializers.values() if value.dtype == ir.DataType.INT8]
    assert sum(value.shape == (16, 16) for value in stored) == 1
    assert not [
        v for v in result.graph.initializers.values() if v.dtype == ir.DataType.FLOAT and len(v.shape or ()) == 2
    ]
    assert sqnr_db(run(model, feed), run(result, feed)) > 27


@pytest.mark.skipif(not is_x86() or has_vnni(), reason="this processor adds products in 32 bits")
def test_eight_bits_saturate_here_and_seven_or_bounded_sums_do_not() -> None:
    # Large activations and large weights of one sign: the worst case of vpmaddubsw.
    weight = 2.0 - np.abs(normal(64, 32, scale=0.05))
    model = build("g (float[N, 64] x) => (float[N, 32] y) { y = Gemm(x, w) }", w=weight.astype(np.float32))
    feed = {"x": np.abs(normal(64, 64, seed=1)).clip(0.5, 1.0)}
    quality = {}
    for bits in ("8", "7", "auto"):
        options = QuantizeOptions(threads=1, scheme="int8", effort="fast", weight_bits=bits)
        result, record = quantize_model(model, data=feed, options=options)
        quality[bits] = sqnr_db(run(result, feed, optimize=False), run(result, feed))
        assert bool([note for note in record.notes if "saturate" in note]) == (bits == "8")
    assert quality["8"] < 20
    assert quality["7"] > 60
    assert quality["auto"] > 60


def test_rules_follow_the_target_and_the_user() -> None:
    target = targets.get("ort-cpu")()
    saturates = target.weight_bits < 8
    assert weight_rule("auto", target)[0] == WeightRule(8, pair_sums=saturates)
    assert weight_rule("7", target)[0] == WeightRule(7, pair_sums=False)
    assert weight_rule("8", target)[0] == WeightRule(8, pair_sums=False)
    assert portability_notes(WeightRule(8, pair_sums=False))
    assert not portability_notes(WeightRule(7, pair_sums=False))
