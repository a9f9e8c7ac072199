"""Structures that span operators: attention as onnxruntime fuses it, and spectra whose logarithm is taken."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgebig.quantize.formats.qoperator import to_qoperator
from tests.quantize.build import build, executed, normal, run, sqnr_db
from tests.quantize.dynamic.build import dynamic
from tests.quantize.ops.build import planned, static

ATTENTION = """g (float[N, T, 64] x) => (float[N, T, 64] y) {
    a = MatMul(x, wq) q = Add(a, b) c = MatMul(x, wk) k = Add(c, b) v = MatMul(x, wv)
    t = Transpose<perm = [0, 2, 1]>(k) s = MatMul(q, t) h = Div(s, eight) p = Softmax<axis = -1>(h) o = MatMul(p, v)
    r = MatMul(o, wo) r1 = Add(r, b) u = Add(r1, x) n = LayerNormalization<axis = -1>(u, one, b)
    m = MatMul(n, w1) f = Add(m, b1) d = Div(f, root) e = Erf(d) e1 = Add(e, unit) g1 = Mul(f, e1) g2 = Mul(g1, half)
    z = MatMul(g2, w2) z1 = Add(z, b) w = Add(z1, n) y = LayerNormalization<axis = -1>(w, one, b) }"""
FUSED = ("FusedMatMul", "SkipLayerNormalization", "LayerNormalization", "Gelu", "BiasGelu", "FastGelu", "Softmax")


def attention() -> dict[str, np.ndarray]:
    arrays = {name: normal(64, 64, scale=0.1, seed=i) for i, name in enumerate(("wq", "wk", "wv", "wo"))}
    arrays |= {"w1": normal(64, 128, scale=0.1), "w2": normal(128, 64, scale=0.1), "b1": normal(128), "b": normal(64)}
    numbers = {"eight": 8, "root": np.sqrt(2), "unit": 1, "half": 0.5}
    return arrays | {name: np.float32(number) for name, number in numbers.items()} | {"one": np.ones(64, np.float32)}


@pytest.mark.parametrize("form", ["dynamic", "qdq", "qoperator"])
def test_no_fused_operator_of_attention_is_lost(form: str, tmp_path: Path) -> None:
    model = build(ATTENTION, **attention())
    feeds = [{"x": normal(2, 6, 64, seed=seed)} for seed in range(4)]
    if form == "dynamic":
        result, _ = dynamic(model)
    else:
        result = static(model, feeds).model
    result = to_qoperator(result) if form == "qoperator" else result
    before, after = (Counter(executed(m, str(tmp_path / "m.onnx"))) for m in (model, result))
    lost = {name: before[name] - after[name] for name in FUSED if after[name] < before[name]}
    # The bias moves from BiasGelu into the product before it, which leaves Gelu.
    assert lost in ({}, {"BiasGelu": 1}) and (not lost or after["Gelu"] == 1), after
    assert before["SkipLayerNormalization"] == 2
    # The product of query and key is short here: float, as packing integers anew on every run costs more.
    assert after["FusedMatMul"] == 1
    integer = ("MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul", "QGemm")
    assert sum(after[name] for name in integer) >= 6
    assert sqnr_db(run(model, feeds[0]), run(result, feeds[0])) > 25


def test_transforms_before_a_logarithm_stay_float() -> None:
    text = """g (float[N, 1, 256] x) => (float[N, 6] y) {
        c = Conv<strides = [16]>(x, fourier) p = Mul(c, c) r = ReduceSum<keepdims = 1>(p, axes) e = Add(r, tiny)
        l = Log(e) f = Flatten(l) h = Gemm(f, w1) r1 = Relu(h) y = Gemm(r1, w2) }"""
    arrays = {"fourier": normal(32, 1, 64), "axes": np.array([1], np.int64), "tiny": np.float32(1e-6)}
    model = build(text, **arrays, w1=normal(13, 32), w2=normal(32, 6))
    rows = {row.node: row for row in planned(model, {"x": normal(2, 1, 256)}, "openvino")}
    assert "logarithm" in rows["c"].reason
    assert rows["h"].precision == rows["y"].precision == "int8"
    assert {row.node: row for row in planned(model, {"x": normal(2, 1, 256)}, "qnn")}["c"].precision == "int8"


def test_a_layer_normalization_written_out_is_still_fused(tmp_path: Path) -> None:
    text = """g (float[N, 6, 64] x) => (float[N, 6, 64] y) {
        c = MatMul(x, w1) a = ReduceMean<axes = [-1]>(c) d = Sub(c, a) p = Pow(d, two) v = ReduceMean<axes = [-1]>(p)
        e = Add(v, tiny) s = Sqrt(e) q = Div(d, s) m = Mul(q, gamma) n = Add(m, beta)
        u = MatMul(n, w2) r = Add(u, n) y = MatMul(r, w1) }"""
    arrays = {"w1": normal(64, 64, scale=0.1), "w2": normal(64, 64, scale=0.1, seed=1), "gamma": normal(64, seed=2)}
    model = build(text, opset=17, **arrays, beta=normal(64), two=np.float32(2), tiny=np.float32(1e-5))
    feeds = [{"x": normal(8, 6, 64, seed=seed)} for seed in range(4)]
    result = static(model, feeds)
    before, after = (Counter(executed(m, str(tmp_path / "m.onnx"))) for m in (model, result.model))
    assert before["LayerNormalization"] == after["LayerNormalization"] == 1
    rows = {row.node: row for row in result.plan.nodes}
    assert all("layer normalisation" in rows[name].reason for name in ("e", "m", "n"))
    assert all(rows[name].precision == "int8" for name in ("c", "u", "y"))
    assert sqnr_db(run(model, feeds[0]), run(result.model, feeds[0])) > 25
