"""Rules on where pairs stand: useless ones, shared ones, float edges, mixed scales, layouts."""

import numpy as np
import pytest

from edgebig.graph.session import Session
from edgebig.records.lint import Severity
from tests.lint.build import build, fixed, lint, of_rule, op_types, repaired, rules

S, Z, W = np.float32(0.02), np.int8(0), np.float32(0.01)
RNG = np.random.default_rng(0)


def outputs(model, feed):
    return Session(model, optimize=False).run(feed)


def test_a_pair_that_undoes_itself_is_taken_out_exactly() -> None:
    text = """g (float[N, 8] x) => (float[N, 8] y) {
        a = QuantizeLinear(x, s, z) b = DequantizeLinear(a, s, z) c = QuantizeLinear(b, s, z)
        y = DequantizeLinear(c, s, z)
    }"""
    model = build(text, s=S, z=Z)
    (found,) = of_rule(lint(model, "ort-cpu-vnni"), "useless-pair")
    assert found.fixable and found.severity is Severity.SLOWER
    result, record = fixed(model, "tensorrt-11")
    assert repaired(record)["useless-pair"] == 1
    assert op_types(result) == ["QuantizeLinear", "DequantizeLinear"]
    feed = {"x": RNG.standard_normal((4, 8)).astype(np.float32) * 2}
    np.testing.assert_array_equal(outputs(model, feed)["y"], outputs(result, feed)["y"])


def test_a_pair_that_changes_the_scale_is_left() -> None:
    text = """g (float[N, 8] x) => (float[N, 8] y) {
        a = QuantizeLinear(x, s, z) b = DequantizeLinear(a, s, z) c = QuantizeLinear(b, t, z)
        y = DequantizeLinear(c, t, z)
    }"""
    assert not of_rule(lint(build(text, s=S, t=np.float32(0.03), z=Z), "ort-cpu-vnni"), "useless-pair")


FLOAT_PAIR = """g (float[N, 8] x) => (float[N, 8] y) {
    a = Erf(x) q = QuantizeLinear(a, s, z) d = DequantizeLinear(q, s, z) y = Exp(d)
}"""


def test_a_pair_between_float_operators_goes() -> None:
    model = build(FLOAT_PAIR, s=np.float32(1 / 127), z=Z)
    result, record = fixed(model, "ort-cpu-vnni")
    assert op_types(result) == ["Erf", "Exp"]
    assert record.repairs[0].rule == "float-pair" and 0 < record.repairs[0].error < 0.02


def test_a_repair_that_changes_the_outputs_is_undone() -> None:
    model = build(FLOAT_PAIR, s=np.float32(0.3), z=Z)  # so coarse that something must depend on it
    result, record = fixed(model, "ort-cpu-vnni")
    assert op_types(result) == op_types(model)
    assert repaired(record) == {"integer-dtype": 1}  # the others are not held back
    assert "is off by" in record.left_out["float-pair"]
    assert of_rule(record, "float-pair")


SHARED = """g (float[N, 8] x) => (float[N, 4] y, float[N, 4] z) {
    q = QuantizeLinear(x, s, p) d = DequantizeLinear(q, s, p)
    v = DequantizeLinear(w, ws) u = DequantizeLinear(w2, ws)
    y = MatMul(d, v) z = MatMul(d, u)
}"""


def shared(**others):
    weights = {name: RNG.integers(-64, 65, (8, 4)).astype(np.int8) for name in ("w", "w2")}
    return build(SHARED, s=S, p=Z, ws=W, **weights, **others)


def test_each_reader_gets_its_pair_on_tensorrt() -> None:
    model = shared()
    (found,) = of_rule(lint(model, "tensorrt-10"), "shared-pair")
    assert found.detail == "read by MatMul 'MatMul(y)', MatMul 'MatMul(z)'"
    assert not of_rule(lint(model, "ort-cpu-vnni"), "shared-pair")
    result, record = fixed(model, "tensorrt-10")
    assert repaired(record) == {"shared-pair": 1}
    assert op_types(result).count("QuantizeLinear") == 2
    feed = {"x": RNG.standard_normal((3, 8)).astype(np.float32)}
    for name, before in outputs(model, feed).items():
        np.testing.assert_array_equal(before, outputs(result, feed)[name])


def test_a_node_without_a_name_is_named_by_its_output() -> None:
    assert of_rule(lint(shared(), "tensorrt-10"), "shared-pair")[0].node == "QuantizeLinear(q)"


CONCAT = """g (float[N, 8] x) => (float[N, 16] y) {
    q = QuantizeLinear(x, small, z) d = DequantizeLinear(q, small, z)
    e = QuantizeLinear(x, large, z) f = DequantizeLinear(e, large, z)
    c = Concat<axis = 1>(d, f) r = QuantizeLinear(c, large, z) y = DequantizeLinear(r, large, z)
}"""


@pytest.mark.parametrize(("small", "found"), [(0.002, 1), (0.015, 0)])
def test_a_concat_of_mixed_scales_costs_steps(small: float, found: int) -> None:
    model = build(CONCAT, small=np.float32(small), large=np.float32(0.1), z=np.uint8(128))
    findings = of_rule(lint(model, "ort-cpu-vnni"), "mixed-scale-concat")
    assert len(findings) == found
    assert all(finding.detail == "input 'd' keeps 5 of 256 steps" for finding in findings)


GEMM = """g (float[2, 8] x) => (float[2, 4] y) {
    q = QuantizeLinear(x, s, p) d = DequantizeLinear(q, s, p) v = DequantizeLinear<axis = 1>(w, ws)
    c = Gemm(d, v) r = QuantizeLinear(c, s, p) y = DequantizeLinear(r, s, p)
}"""


def test_a_gemm_is_transposed_for_qnn() -> None:
    weight = RNG.integers(-64, 65, (8, 4)).astype(np.int8)
    scales = (RNG.random(4) * 0.01 + 0.001).astype(np.float32)
    model = build(GEMM, s=S, p=np.uint8(128), w=weight, ws=scales)
    assert rules(lint(model, "qnn")) == {"gemm-layout"}
    assert not lint(model, "ort-cpu-vnni").findings
    result, record = fixed(model, "qnn")
    assert repaired(record) == {"gemm-layout": 1} and not record.findings
    gemm = next(node for node in result.graph if node.op_type == "Gemm")
    stored = gemm.inputs[1].producer().inputs[0].const_value.numpy()
    assert gemm.attributes.get_int("transB", 0) == 1
    np.testing.assert_array_equal(stored, weight.T)


def test_a_matmul_per_channel_is_not_for_qnn() -> None:
    text = GEMM.replace("Gemm(d, v)", "MatMul(d, v)")
    model = build(text, s=S, p=np.uint8(128), w=np.ones((8, 4), np.int8), ws=np.full(4, 0.01, np.float32))
    (found,) = of_rule(lint(model, "qnn"), "weight-axis")
    assert "MatMul weight has a scale per channel, which qnn does not take" in found.text


WEIGHT_CHAIN = """g (float[N, 8] x) => (float[N, 4] y) {
    q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
    i = QuantizeLinear<axis = 0>(w, ws, wz) v = DequantizeLinear<axis = 0>(i, ws, wz) t = Transpose<perm = [1, 0]>(v)
    y = MatMul(d, t)
}"""


def test_a_float_weight_behind_its_pair_is_stored_as_integers() -> None:
    weight = RNG.standard_normal((4, 8)).astype(np.float32)
    scales = (np.abs(weight).max(axis=1) / 127).astype(np.float32)
    model = build(WEIGHT_CHAIN, s=S, z=Z, w=weight, ws=scales, wz=np.zeros(4, np.int8))
    record = lint(model, "tensorrt-11")
    assert rules(record) == {"float-weight", "shapes", "precision"}  # the Transpose is folded: the MatMul is fused
    result, after = fixed(model, "tensorrt-11")
    assert repaired(after) == {"float-weight": 1}
    assert "w" not in result.graph.initializers
    feed = {"x": RNG.standard_normal((3, 8)).astype(np.float32)}
    np.testing.assert_array_equal(outputs(model, feed)["y"], outputs(result, feed)["y"])


def test_an_input_in_float_keeps_an_add_in_float() -> None:
    text = """g (float[N, 8] x, float[N, 8] f) => (float[N, 8] y) {
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) a = Add(d, f)
        r = QuantizeLinear(a, s, z) y = DequantizeLinear(r, s, z)
    }"""
    (found,) = of_rule(lint(build(text, s=S, z=np.uint8(9)), "ort-cpu-vnni"), "not-fused")
    assert found.text == "an input is float while the result is quantized"
    assert found.detail == "'f', an input of the model"


RESIDUAL = """g (float[2, 8] x) => (float[2, 8] y) {
    q = QuantizeLinear(x, s, p) d = DequantizeLinear(q, s, p) v = DequantizeLinear(w, ws)
    m = MatMul(d, v)
    mq = QuantizeLinear(m, t, p) md = DequantizeLinear(mq, t, p)
    a = Add(md, d) r = QuantizeLinear(a, t, p) y = DequantizeLinear(r, t, p)
}"""


def test_the_pair_between_a_product_and_its_add_goes_on_tensorrt() -> None:
    weight = RNG.integers(-64, 65, (8, 8)).astype(np.int8)
    model = build(RESIDUAL, s=S, t=np.float32(0.03), p=Z, w=weight, ws=W)
    assert len(of_rule(lint(model, "tensorrt-10"), "residual-pair")) == 1
    assert not of_rule(lint(model, "ort-cpu-vnni"), "residual-pair")
    result, record = fixed(model, "tensorrt-10")
    assert repaired(record)["residual-pair"] == 1
    assert 0 < next(done.error for done in record.repairs if done.rule == "residual-pair") < 0.05
    add = next(node for node in result.graph if node.op_type == "Add")
    assert [value.producer().op_type for value in add.inputs] == ["MatMul", "DequantizeLinear"]
    # What is left is what the target wants: one float input, straight from the product.
    assert not {"residual-pair", "not-fused", "shared-pair"} & rules(record)
