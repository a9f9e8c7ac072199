"""What is written obeys the rules of the target it is written for."""

import dataclasses

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.graph.edit import constant_array
from edgebig.quantize.formats.weight_form import WeightRule, quantize_for
from edgebig.quantize.plan import make_plan
from edgebig.quantize.prepare import prepare
from edgebig.quantize.qparams import dequantize, qparams_for_range, quantize
from edgebig.targets import targets
from tests.quantize.build import build, count, normal, run, sqnr_db
from tests.quantize.ops.build import producers, static

NET = """g (float[N, 8, 10, 10] x) => (float[N, 6] y) {
    a = Conv<pads = [1, 1, 1, 1]>(x, w0, b0) r = Relu(a)
    c = Conv<pads = [1, 1, 1, 1]>(r, w1, b1) d = Add(c, r) e = Relu(d)
    p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(e)
    u = ConvTranspose<strides = [2, 2]>(p, w2, b2) m = GlobalAveragePool(u)
    f = Flatten(m) y = Gemm(f, w3, b3) }"""
ARRAYS = {
    "w0": normal(16, 8, 3, 3, scale=0.2, seed=1), "b0": normal(16, seed=2),
    "w1": normal(16, 16, 3, 3, scale=0.1, seed=3), "b1": normal(16, seed=4),
    "w2": normal(16, 12, 2, 2, scale=0.2, seed=5), "b2": normal(12, seed=6),
    "w3": normal(12, 6, scale=0.4, seed=7), "b3": normal(6, seed=8),
}  # fmt: skip
FEEDS = [{"x": normal(4, 8, 10, 10, seed=seed)} for seed in range(4)]
ALL = ("ort-cpu-avx2", "ort-cpu-vnni", "ort-cpu-arm64", "tensorrt-10", "tensorrt-11", "openvino", "qnn")


def node_of(model: ir.Model, op_type: str, index: int = 0) -> ir.Node:
    return [node for node in model.graph if node.op_type == op_type][index]


def zero_points(model: ir.Model) -> list[np.ndarray]:
    arrays = [constant_array(node.inputs[2]) for node in model.graph if node.op_type == "QuantizeLinear"]
    return [array for array in arrays if array is not None]


@pytest.mark.parametrize("target", ALL)
def test_every_target_loads_in_onnxruntime_and_loses_little(target: str) -> None:
    model = build(NET, **ARRAYS)
    result = static(model, FEEDS, target).model
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    feed = FEEDS[0]
    assert sqnr_db(run(model, feed), run(result, feed, optimize=False)) > (25 if target.startswith("tensorrt") else 27)
    integer = {
        node.node for node in static(model, FEEDS, target).plan.nodes if node.precision == "int8" and node.weights
    }
    assert len(integer) == (3 if target.startswith("ort-cpu") else 4)  # onnxruntime: no integer ConvTranspose


def test_tensorrt() -> None:
    """Symmetric int8, float biases, no pairs behind weighted operators, one for the shortcut of a residual Add."""
    result = static(build(NET, **ARRAYS), FEEDS, "tensorrt-10").model
    assert all(zero.dtype == np.int8 and zero == 0 for zero in zero_points(result))
    for op_type in ("Conv", "ConvTranspose", "Gemm"):
        node = node_of(result, op_type)
        assert constant_array(node.inputs[2]).dtype == np.float32
        assert producers(node.inputs[0], 2) == ["DequantizeLinear", "QuantizeLinear"]
        assert producers(node.inputs[1], 2) == ["DequantizeLinear"]
        assert {use.node.op_type for use in node.outputs[0].uses()} <= {"Relu", "GlobalAveragePool", "QuantizeLinear"}
    add = node_of(result, "Add")
    assert producers(add.inputs[0], 1) == ["Conv"]  # fused into it: no pair in between
    assert producers(add.inputs[1], 2) == ["DequantizeLinear", "QuantizeLinear"]
    # The value behind the first Relu has two readers, and each a pair of its own.
    relu = node_of(result, "Relu")
    assert [use.node.op_type for use in relu.outputs[0].uses()] == ["QuantizeLinear"] * 2
    assert count(result, "Relu") == 2
    axis = {node_of(result, name).inputs[1].producer().attributes["axis"].value for name in ("Conv", "ConvTranspose")}
    assert axis == {0, 1}


def test_openvino_shares_pairs_and_writes_them_where_they_are_read() -> None:
    result = static(build(NET, **ARRAYS), FEEDS, "openvino").model
    relu = node_of(result, "Relu")
    assert [use.node.op_type for use in relu.outputs[0].uses()] == ["QuantizeLinear"]
    assert {zero.dtype for zero in zero_points(result)} == {np.dtype(np.uint8)}
    gemm = node_of(result, "Gemm")
    assert result.graph.outputs[0].producer() is gemm
    assert constant_array(gemm.inputs[2].producer().inputs[0]).dtype == np.int32


def test_qnn_surrounds_every_operator_and_transposes_gemm() -> None:
    result = static(build(NET, **ARRAYS), FEEDS, "qnn").model
    for node in result.graph:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            assert producers(node.inputs[0], 2) == ["DequantizeLinear", "QuantizeLinear"], node.op_type
            assert [use.node.op_type for use in node.outputs[0].uses()] == ["QuantizeLinear"], node.op_type
    gemm = node_of(result, "Gemm")
    assert gemm.attributes.get_int("transB", 0) == 1
    weight = gemm.inputs[1].producer()
    assert constant_array(weight.inputs[0]).shape == (6, 12)
    assert weight.attributes["axis"].value == 0
    assert constant_array(gemm.inputs[2].producer().inputs[0]).dtype == np.int32


def test_qnn_has_integers_for_attention() -> None:
    text = """g (float[2, 5, 16] x) => (float[2, 5, 16] y) {
        q = MatMul(x, wq) t = Transpose<perm = [0, 2, 1]>(q) s = MatMul(q, t) h = Div(s, four) p = Softmax<axis = -1>(h)
        o = MatMul(p, q) r = Sub(x, o) n = LayerNormalization<axis = -1>(r, g1, g2) k = Tanh(n) y = Pow(k, two) }"""
    arrays = {"wq": normal(16, 16, scale=0.3), "four": np.float32(4), "g1": np.ones(16, np.float32)}
    model = build(text, **arrays, g2=normal(16), two=np.float32(2))
    feeds = [{"x": normal(2, 5, 16, seed=seed)} for seed in range(4)]
    result = static(model, feeds, "qnn")
    assert [node.node for node in result.plan.nodes if node.precision == "float"] == []
    assert sqnr_db(run(model, feeds[0]), run(result.model, feeds[0], optimize=False)) > 20


def test_arm64_has_signed_activations_with_any_zero_point() -> None:
    result = static(build(NET, **ARRAYS), FEEDS, "ort-cpu-arm64").model
    assert {zero.dtype for zero in zero_points(result)} == {np.dtype(np.int8)}
    assert {int(zero) for zero in zero_points(result)} & {-128}  # a Relu is the saturation of QuantizeLinear
    assert count(result, "Relu") == 0


@pytest.mark.parametrize("opset", [18, 21])
def test_sixteen_bits_where_asked(opset: int) -> None:
    """A node in 16 bits reads and gives them; its neighbours go on in 8, with conversions between."""
    text = """g (float[N, 8, 6, 6] x) => (float[N, 8, 6, 6] y) {
        a = Conv(x, w0, b) b1 = Relu(a) c = Conv(b1, w1, b) d = Conv(c, w0, b) y = Tanh(d) }"""
    arrays = {"w0": normal(8, 8, 1, 1, scale=0.4), "w1": normal(8, 8, 1, 1, scale=0.4, seed=1), "b": normal(8)}
    model = build(text, opset, **arrays)
    feeds = [{"x": normal(4, 8, 6, 6, seed=seed)} for seed in range(4)]
    narrow, wide = static(model, feeds, "qnn"), static(model, feeds, "qnn", wide=["c"])
    everywhere = static(model, feeds, "qnn", wide=["a", "c", "d", "y"])
    dtypes = [[zero.dtype.name for zero in zero_points(result.model)] for result in (narrow, wide, everywhere)]
    assert set(dtypes[0]) == {"uint8"} and set(dtypes[2]) == {"uint16"}
    assert sorted(dtypes[1]) == ["uint16"] * 2 + ["uint8"] * 5
    conv = [node for node in wide.model.graph if node.op_type == "Conv"][1]
    assert conv.inputs[0].producer().domain == ("" if opset == 21 else "com.microsoft")
    feed = feeds[0]
    losses = [sqnr_db(run(model, feed), run(result.model, feed)) for result in (narrow, wide, everywhere)]
    assert losses[2] > losses[0] + 6
    assert losses[1] > losses[0] - 1
    onnx.checker.check_model(ir.to_proto(wide.model))
    assert (
        static(model, feeds, "ort-cpu-avx2", wide=["c"]).model.graph.num_nodes()
        == static(model, feeds, "ort-cpu-avx2").model.graph.num_nodes()
    )


@settings(max_examples=40, deadline=None)
@given(low=st.floats(-1e6, 1e6), high=st.floats(-1e6, 1e6), dtype=st.sampled_from(["int8", "int16"]))
def test_symmetric_parameters_reach_both_ends(low: float, high: float, dtype: str) -> None:
    params = qparams_for_range(low, high, dtype, symmetric=True)
    assert params.zero_point == 0 and params.scale > 0
    values = np.array([low, high], np.float32)
    error = np.abs(dequantize(quantize(values, params), params) - values)
    assert (error <= params.scale * 0.5001 + np.abs(values) * 1e-6).all()


def test_one_scale_for_a_weight_where_the_target_knows_no_other() -> None:
    target = dataclasses.replace(targets.get("qnn")(), per_channel_ops=frozenset({"Conv", "ConvTranspose"}))
    model = build(NET, **ARRAYS)
    prepared = prepare(model, FEEDS[0], target)
    gemm = next(unit for unit in make_plan(prepared).placement.units if unit.node.op_type == "Gemm")
    for rule in (WeightRule(8, pair_sums=False), WeightRule(8, pair_sums=True)):
        weight = quantize_for(gemm, rule, target, np.zeros(6, np.float32))
        assert (weight.scales == weight.scales[0]).all()
        assert np.abs(weight.integers * weight.scales - ARRAYS["w3"]).max() <= weight.scales[0] * 0.5001
