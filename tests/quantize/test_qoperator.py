"""Integer operators against the QDQ model they are made from, in stock onnxruntime."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgebig.quantize.formats.qoperator import to_qoperator
from tests.quantize.build import build, count, executed, normal, run, sqnr_db
from tests.quantize.ops.build import static
from tests.small_models import conv_net, conv_net_samples

ENDS = {
    "w0": normal(16, 16, 3, 3, scale=0.1, seed=1),
    "b0": normal(16, scale=0.1, seed=2),
    "w1": normal(16, 16, 3, 3, scale=0.1, seed=3),
}
FRAME = """g (float[N, 16, 12, 12] x) => (float[N, 16, P, Q] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w0, b0)
    %s
    y = Conv <pads = [1, 1, 1, 1]> (z, w1) }"""
FEEDS = [{"x": normal(2, 16, 12, 12, seed=seed)} for seed in range(4)]


def steps_apart(qdq: ir.Model, result: ir.Model, feed: dict[str, np.ndarray]) -> float:
    """The largest difference of the outputs, in steps of the last scale."""
    scale = min(float(node.inputs[1].const_value.numpy()) for node in qdq.graph if node.op_type == "QuantizeLinear")
    return float(np.abs(run(qdq, feed) - run(result, feed)).max() / scale)


@pytest.mark.parametrize(
    ("middle", "kernels"),
    [
        ("z = Relu(a)", {"QLinearConv"}),
        ("r = Relu(a) z = Add(a, r)", {"QLinearAdd"}),
        ("s = Sigmoid(a) z = Mul(a, s)", {"QLinearSigmoid", "QLinearMul"}),
        ("z = HardSwish(a)", {"QLinearAdd", "QLinearMul"}),
        ("z = LeakyRelu<alpha = 0.1>(a)", {"QLinearLeakyRelu"}),
        ("m = GlobalAveragePool(a) z = Mul(a, m)", {"QLinearGlobalAveragePool"}),
        ("c = Conv(a, w2) d = Concat<axis = 1>(a, c) z = Conv(d, w3)", {"QLinearConcat"}),
        ("z = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(a)", {"MaxPool"}),
        ("t = Transpose<perm = [0, 1, 3, 2]>(a) z = Identity(t)", {"Transpose"}),
        ("p, q = Split<axis = 1>(a, halves) z = Concat<axis = 1>(q, p)", {"Split"}),
        ('z = Resize<mode = "nearest">(a, , two)', {"Resize"}),
        ("c = Conv<group = 16, pads = [1, 1, 1, 1]>(a, wd) z = Relu(c)", {"QLinearConv"}),
    ],
)
@pytest.mark.parametrize("target", ["ort-cpu-avx2", "ort-cpu-arm64"])
def test_between_convolutions(middle: str, kernels: set[str], target: str, tmp_path: Path) -> None:
    constants = {
        "two": np.array([1, 1, 2, 2], np.float32), "halves": np.array([8, 8], np.int64),
        "w2": normal(16, 16, 1, 1, scale=0.3, seed=6), "w3": normal(16, 32, 1, 1, scale=0.2, seed=7),
        "wd": normal(16, 1, 3, 3, scale=0.4, seed=8),
    }  # fmt: skip
    words = middle.replace("(", " ").replace(",", " ").replace(")", " ").split()
    model = build(FRAME % middle, **ENDS, **{name: array for name, array in constants.items() if name in words})
    qdq = static(model, FEEDS, target).model
    before = ir.to_proto(qdq).SerializeToString()
    result = to_qoperator(qdq)
    assert ir.to_proto(qdq).SerializeToString() == before
    onnx.checker.check_model(ir.to_proto(result))
    assert kernels <= {node.op_type for node in result.graph}
    assert count(result, "QuantizeLinear") == count(result, "DequantizeLinear") == 1
    assert not {"Conv", "Add", "Mul", "Sigmoid", "Concat"} & {node.op_type for node in result.graph}
    assert sqnr_db(run(model, FEEDS[0]), run(result, FEEDS[0])) > 25
    # As onnxruntime itself fuses the QDQ model; float results of the last layer, rarely one step before it.
    assert sqnr_db(run(qdq, FEEDS[0]), run(result, FEEDS[0])) > 40
    assert steps_apart(qdq, result, FEEDS[0]) < 2
    executed(result, str(tmp_path / "q.onnx"))


def test_softmax_and_pools_in_integers() -> None:
    """A QDQ model by another hand: every form there is an integer operator for."""
    text = """g (uint8[2, 4, 6, 6] x) => (uint8[2, 4, 3, 3] y) {
        a = DequantizeLinear(x, s0, z) b = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(a)
        c = QuantizeLinear(b, s1, z) d = DequantizeLinear(c, s1, z) e = Softmax<axis = -1>(d)
        y = QuantizeLinear(e, s2, z0) }"""
    scales = {"s0": np.float32(0.05), "s1": np.float32(0.04), "s2": np.float32(1 / 256)}
    model = build(text, **scales, z=np.uint8(128), z0=np.uint8(0))
    result = to_qoperator(model)
    assert [node.op_type for node in result.graph] == ["QLinearAveragePool", "QLinearSoftmax"]
    feed = {"x": np.random.default_rng(0).integers(0, 256, (2, 4, 6, 6)).astype(np.uint8)}
    difference = run(model, feed, optimize=False).astype(int) - run(result, feed)
    # The integer pool rounds in another order: a step in, and two out where the exponential is steep.
    assert np.abs(difference).max() <= 2 and (difference != 0).mean() < 0.1


def test_a_whole_net(tmp_path: Path) -> None:
    model, data = conv_net(), conv_net_samples(32)
    feeds = [{"image": data["image"][i : i + 4]} for i in range(0, 32, 4)]
    qdq = static(model, feeds).model
    result = to_qoperator(qdq)
    # The same kernels that onnxruntime makes of the QDQ model, so the same numbers.
    assert np.array_equal(run(qdq, data), run(result, data))
    assert [node.op_type for node in result.graph] == [
        "QuantizeLinear", *["QLinearConv"] * 3, "QLinearGlobalAveragePool", "Flatten", "QGemm"
    ]  # fmt: skip
    assert result.graph.outputs[0].name == "logits"
    executed(result, str(tmp_path / "q.onnx"))


@pytest.mark.parametrize("transposed", [0, 1])
def test_products(transposed: int, tmp_path: Path) -> None:
    text = """g (float[N, 5, 32] x) => (float[N, 5, 24] y) {
        p = MatMul(x, w0) q = Add(b0, p) r = MatMul(q, w1) t = Transpose<perm = [0, 2, 1]>(q) s = MatMul(q, t)
        u = MatMul(s, r) v = Reshape(u, rows) e = Gemm<transB = %d>(v, w2, b2) y = Reshape(e, back) }"""
    weight = normal(24, 24, scale=0.2, seed=5)
    arrays = {"w0": normal(32, 48, scale=0.2), "b0": normal(48, seed=2), "w1": normal(48, 24, scale=0.2, seed=3)}
    arrays |= {"w2": weight.T.copy() if transposed else weight, "b2": normal(24, seed=4)}
    shapes = {"rows": np.array([-1, 24], np.int64), "back": np.array([-1, 5, 24], np.int64)}
    model = build(text % transposed, **arrays, **shapes)
    feeds = [{"x": normal(3, 5, 32, seed=seed)} for seed in range(4)]
    qdq = static(model, feeds).model
    result = to_qoperator(qdq)
    kinds = {node.op_type for node in result.graph}
    assert {"MatMulIntegerToFloat", "QGemm"} <= kinds
    assert not {"Gemm", "Add"} & kinds
    assert sqnr_db(run(qdq, feeds[0]), run(result, feeds[0])) > 35
    executed(result, str(tmp_path / "q.onnx"))


def test_what_has_no_integer_form_keeps_its_pairs() -> None:
    text = (
        "g (uint8[2, 4] x) => (uint8[2, 4] y) { a = DequantizeLinear(x, s, z) b = Tanh(a) y = QuantizeLinear(b, s, z) }"
    )
    model = build(text, s=np.float32(0.02), z=np.uint8(128))
    assert [node.op_type for node in to_qoperator(model).graph] == ["DequantizeLinear", "Tanh", "QuantizeLinear"]
