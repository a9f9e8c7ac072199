"""Every operator in integers against float, and that onnxruntime really runs it in integers."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.quantize import quantize_model
from edgebig.records.quantize import QuantizeOptions, QuantizeRecord
from tests.quantize.build import build, executed, normal, run, sqnr_db

# A convolution before and after, so that what stands between is worth having in integers.
FRAME = """g (float[N, 16, 12, 12] x) => (float[N, 16, P, Q] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w0, b0)
    %s
    y = Conv <pads = [1, 1, 1, 1]> (z, w1, b1) }"""
ENDS = {
    "w0": normal(16, 16, 3, 3, scale=0.1, seed=1),
    "b0": normal(16, scale=0.1, seed=2),
    "w1": normal(16, 16, 3, 3, scale=0.1, seed=3),
    "b1": normal(16, scale=0.1, seed=4),
}
FEED = {"x": normal(32, 16, 12, 12, seed=5)}
OPTIONS = QuantizeOptions(threads=1, scheme="int8", effort="fast")


def quantized(model: ir.Model) -> tuple[ir.Model, QuantizeRecord]:
    return quantize_model(model, data=FEED, options=OPTIONS)


@pytest.mark.parametrize(
    ("middle", "kernels", "floats"),
    [
        ("z = Relu(a)", {"QLinearConv"}, 0),
        ("z = Clip(a, zero, six)", {"QLinearConv"}, 0),
        ("z = HardSwish(a)", {"QLinearAdd", "QLinearMul"}, 0),
        ("h = HardSigmoid<alpha = 0.16666667, beta = 0.5>(a) z = Mul(a, h)", {"QLinearAdd", "QLinearMul"}, 0),
        ("c = Conv(a, w2) h = HardSigmoid<alpha = 0.2, beta = 0.5>(c) z = Mul(a, h)", {"QLinearMul"}, 0),
        ("r = Relu(a) z = Add(a, r)", {"QLinearAdd"}, 0),
        ("s = Sigmoid(a) z = Mul(a, s)", {"QLinearSigmoid", "QLinearMul"}, 0),
        ("z = LeakyRelu<alpha = 0.1>(a)", {"QLinearLeakyRelu"}, 0),
        ("c = Conv(a, w2) z = Add(a, c)", {"QLinearAdd"}, 0),
        ("r = Relu(a) m = Mul(r, half) z = Add(m, a)", {"QLinearMul", "QLinearAdd"}, 0),
        ("z = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(a)", {"NhwcMaxPool"}, 0),
        ("m = ReduceMean<keepdims = 1>(a, axes) z = Mul(a, m)", {"QLinearGlobalAveragePool", "QLinearMul"}, 0),
        ("m = GlobalAveragePool(a) z = Mul(a, m)", {"QLinearGlobalAveragePool"}, 0),
        ("c = Conv(a, w2) d = Concat<axis = 1>(a, c) z = Conv(d, w3)", {"QLinearConcat"}, 0),
        ("c = Conv<group = 16, pads = [1, 1, 1, 1]>(a, wd) z = Relu(c)", {"QLinearConv"}, 0),
        ("c = Conv<group = 2>(a, wg) z = Relu(c)", {"QLinearConv"}, 0),
        ("t = Transpose<perm = [0, 1, 3, 2]>(a) z = Identity(t)", {"QLinearConv"}, 0),
        ('z = Resize<mode = "nearest">(a, , two)', {"QLinearConv", "Resize"}, 0),
    ],
)
def test_between_convolutions(middle: str, kernels: set[str], floats: int, tmp_path: Path) -> None:
    constants = {
        "zero": np.float32(0), "six": np.float32(1.5), "half": np.full((1, 16, 1, 1), 0.5, np.float32),
        "axes": np.array([2, 3], np.int64), "two": np.array([1, 1, 2, 2], np.float32),
        "w2": normal(16, 16, 1, 1, scale=0.3, seed=6), "w3": normal(16, 32, 1, 1, scale=0.2, seed=7),
        "wd": normal(16, 1, 3, 3, scale=0.4, seed=8), "wg": normal(16, 8, 1, 1, scale=0.4, seed=9),
    }  # fmt: skip
    used = {name: array for name, array in constants.items() if name in middle.replace("(", " ").replace(",", " ")
            .replace(")", " ").split()}  # fmt: skip
    model = build(FRAME % middle, **ENDS, **used)
    result, record = quantized(model)
    reference, changed = run(model, FEED), run(result, FEED)
    assert sqnr_db(reference, changed) > 27
    # Kernels requantize in another order than DequantizeLinear and QuantizeLinear: one step at most, rarely.
    assert sqnr_db(run(result, FEED, optimize=False), changed) > 35
    ran = executed(result, str(tmp_path / "q.onnx"))
    assert kernels <= set(ran)
    assert not {"Conv", "FusedConv", "Mul", "Add", "Sigmoid", "HardSigmoid", "Relu", "Clip", "ReduceMean"} & set(ran)
    assert ran.count("QuantizeLinear") == 1
    assert ran.count("DequantizeLinear") == 1
    weighted = [node for node in record.nodes if node.op_type == "Conv"]
    assert all(node.quantized and node.weight_error is not None and node.weight_error < 1e-3 for node in weighted)


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", ["", ", b", ", s"])
def test_gemm_in_both_layouts_gives_floats(transposed: int, bias: str, tmp_path: Path) -> None:
    weight = normal(40, 24, scale=0.2) * np.geomspace(0.01, 1, 24, dtype=np.float32)
    arrays = {"w": weight.T.copy() if transposed else weight}
    arrays |= {"b": normal(24)} if bias == ", b" else {"s": np.ones(1, np.float32)} if bias else {}
    text = f"g (float[N, 40] x) => (float[N, 24] y) {{ y = Gemm<transB = {transposed}>(x, w{bias}) }}"
    model, feed = build(text, **arrays), {"x": normal(64, 40, seed=3)}
    result, record = quantize_model(model, data=feed, options=OPTIONS)
    reference, changed = run(model, feed), run(result, feed)
    # A scale per output channel: the smallest channels are as good as the largest.
    for channel in (0, 12, 23):
        assert sqnr_db(reference[:, channel], changed[:, channel]) > 33
    assert executed(result, str(tmp_path / "q.onnx")) == ["QuantizeLinear", "QGemm"]
    assert record.nodes[0].reason == "float result"


@pytest.mark.parametrize("shape", ["2, 6, 32", "N, T, 32", "N, 32", "5, 32"])
def test_matmul_and_its_bias_run_in_integers_with_float_results(shape: str, tmp_path: Path) -> None:
    text = f"""g (float[{shape}] x) => (float[{shape.replace("32", "48")}] y) {{
        p = MatMul(x, w) q = Add(b, p) y = Erf(q) }}"""
    model = build(text, w=normal(32, 48, scale=0.1), b=normal(48))
    sizes = [int(size) if size.isdigit() else 6 for size in shape.split(", ")]
    feeds = [{"x": normal(*sizes, seed=seed)} for seed in range(8)]
    result, record = quantize_model(model, data=feeds, options=OPTIONS)
    reference = np.concatenate([run(model, feed) for feed in feeds])
    assert sqnr_db(reference, np.concatenate([run(result, feed) for feed in feeds])) > 30
    ran = executed(result, str(tmp_path / "q.onnx"))
    assert "MatMul" not in ran and "Gemm" not in ran
    assert {"QGemm", "MatMulIntegerToFloat"} & set(ran)
    assert "DequantizeLinear" not in ran
    assert [node.quantized for node in record.nodes] == [True, True, False]


def test_a_pool_behind_a_float_stem_stays_float_and_is_not_pulled_into_integers(tmp_path: Path) -> None:
    text = """g (float[N, 1, 28, 28] x) => (float[N, 32, 14, 14] y) {
        a = Conv<pads = [1, 1, 1, 1]>(x, w0) r = Relu(a) p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r)
        y = Conv<pads = [1, 1, 1, 1]>(p, w1) }"""
    model = build(text, w0=normal(32, 1, 3, 3), w1=normal(32, 32, 3, 3, scale=0.1))
    feed = {"x": normal(32, 1, 28, 28, seed=1)}
    result, record = quantize_model(model, data=feed, options=OPTIONS)
    ran = executed(result, str(tmp_path / "q.onnx"))
    assert ran.index("MaxPool") < ran.index("QuantizeLinear")
    assert "Clip" not in ran
    assert {node.op_type: node.quantized for node in record.nodes} == {
        "Conv": True, "Relu": False, "MaxPool": False
    }  # fmt: skip
    assert "float is faster" in record.nodes[0].reason
    assert sqnr_db(run(model, feed), run(result, feed)) > 33


def test_a_mean_without_kept_axes_becomes_a_pool(tmp_path: Path) -> None:
    text = """g (float[N, 16, 12, 12] x) => (float[N, 5] y) {
        a = Conv(x, w0) r = Relu(a) m = ReduceMean<keepdims = 0>(r, axes) y = Gemm(m, w1) }"""
    arrays = {"w0": normal(16, 16, 3, 3, scale=0.1), "axes": np.array([-1, -2], np.int64), "w1": normal(16, 5)}
    model = build(text, **arrays)
    result, _ = quantize_model(model, data=FEED, options=OPTIONS)
    assert sqnr_db(run(model, FEED), run(result, FEED)) > 27
    assert {"QLinearGlobalAveragePool", "QGemm"} <= set(executed(result, str(tmp_path / "q.onnx")))
