"""MatMul and Gemm with activations quantized as they come."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgebig.graph.edit import constant_array
from edgebig.quantize.formats.qdq import WeightRule
from edgebig.quantize.plan import make_plan
from edgebig.quantize.prepare import prepare
from edgebig.targets import targets
from tests.quantize.build import build, count, executed, normal, run, sqnr_db
from tests.quantize.dynamic.build import dynamic, quantized_naively, reasons


def weight_of(model: ir.Model) -> np.ndarray:
    """The dequantized weight of the model's only MatMulInteger, [inputs, outputs]."""
    node = next(node for node in model.graph if node.op_type == "MatMulInteger")
    integers = constant_array(node.inputs[1])
    (scale,) = (v for n in model.graph if n.op_type == "Mul" for v in n.inputs if v.name.endswith("_scale")
                and v.const_value is not None)  # fmt: skip
    assert integers is not None and integers.dtype == np.int8
    return integers * constant_array(scale)


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 2.0), (1.5, 0.0)])
@pytest.mark.parametrize("bias", ["vector", "row", "matrix", "activation", "none"])
def test_gemm_equals_its_definition(transposed: int, alpha: float, beta: float, bias: str, tmp_path: Path) -> None:
    weight, x = normal(40, 48, scale=0.2), normal(6, 40, seed=3)
    arrays = {"w": weight.T.copy() if transposed else weight}
    shapes = {"vector": (48,), "row": (1, 48), "matrix": (6, 48), "activation": (48,), "none": ()}
    given = normal(*shapes[bias], seed=4)
    inputs, feed = "float[6, 40] x", {"x": x}
    if bias == "activation":
        inputs, feed = inputs + ", float[48] c", feed | {"c": given}
    elif bias != "none":
        arrays["c"] = given
    third = "" if bias == "none" else ", c"
    attributes = f"alpha = {alpha}, beta = {beta}, transB = {transposed}"
    model = build(f"g ({inputs}) => (float[6, 48] y) {{ y = Gemm<{attributes}>(x, w{third}) }}", **arrays)
    result, changes = dynamic(model)
    expected = quantized_naively(x) @ weight_of(result) + (0 if bias == "none" else beta * given)
    assert np.allclose(run(result, feed), expected, atol=1e-5)
    assert np.allclose(run(result, feed, optimize=False), expected, atol=1e-5)
    assert sqnr_db(run(model, feed), run(result, feed)) > 37
    assert [(change.op_type, change.weights, change.bytes_before) for change in changes] == [("Gemm", 1920, 7680)]
    assert changes[0].weight_error is not None and changes[0].weight_error < 1e-4
    assert "DynamicQuantizeMatMul" in executed(result, str(tmp_path / "q.onnx"))


def test_query_key_and_value_share_one_quantization(tmp_path: Path) -> None:
    text = """g (float[N, T, 64] x) => (float[N, T, 64] q, float[N, T, 64] k, float[N, T, 64] v) {
        a = MatMul(x, wq) q = Add(a, b) k = MatMul(x, wk) c = MatMul(x, wv) v = Add(b, c) }"""
    weights = {name: normal(64, 64, scale=0.1, seed=i) for i, name in enumerate(("wq", "wk", "wv"))}
    model, feed = build(text, b=normal(64), **weights), {"x": normal(2, 5, 64, seed=9)}
    result, changes = dynamic(model)
    assert count(result, "DynamicQuantizeLinear") == 1
    assert len(changes) == 3
    ran = executed(result, str(tmp_path / "q.onnx"))
    assert sorted(ran) == ["DynamicQuantizeLinear", *["MatMulIntegerToFloat"] * 3]
    assert [value.name for value in result.graph.outputs] == ["q", "k", "v"]
    assert sqnr_db(run(model, feed), run(result, feed)) > 37


def test_a_stack_of_one_matrix_is_a_matrix_and_of_several_is_left() -> None:
    text = "g (float[2, 5, 64] x) => (float[2, 5, 48] y) { y = MatMul(x, w) }"
    model, feed = build(text, w=normal(1, 64, 48)), {"x": normal(2, 5, 64)}
    assert sqnr_db(run(model, feed), run(dynamic(model)[0], feed)) > 37
    _, found = reasons(build(text, w=normal(2, 64, 48)))
    assert list(found.values()) == ["its weight is a stack of matrices; a scale per output channel needs one matrix"]


def test_shared_weights_are_stored_once() -> None:
    text = """g (float[N, 64] x) => (float[N, 64] y) {
        a = MatMul(x, w) b = Relu(a) c = MatMul(b, w) d = Tanh(c) y = Gemm(d, w) }"""
    result, changes = dynamic(build(text, w=normal(64, 64)))
    stored = [value for value in result.graph.initializers.values() if value.const_value.shape.numpy() == (64, 64)]
    assert len(stored) == 1
    assert [change.weights for change in changes] == [4096, 0, 0]
    assert [change.bytes_after for change in changes][1:] == [0, 0]


@pytest.mark.parametrize(
    ("body", "weight", "reason"),
    [
        ("y = MatMul(w, x)", normal(64, 64), "first factor is the constant"),
        ("y = MatMul(x, x)", None, "no constant weight"),
        ("y = Gemm<transA = 1>(x, w)", normal(64, 64), "transposed"),
        ("y = MatMul(x, w)", normal(64, 10), "float is faster: its 10 outputs"),
        ("y = MatMul(x, w)", np.full((64, 64), np.inf, np.float32), "NaN or infinity"),
    ],
)
def test_reasons(body: str, weight: np.ndarray | None, reason: str) -> None:
    arrays = {} if weight is None else {"w": weight}
    _, found = reasons(build(f"g (float[64, 64] x) => (float[64, M] y) {{ {body} }}", **arrays))
    assert [reason in text for text in found.values()] == [True]


def test_convolutions_and_targets_without_dynamic_quantization_are_left() -> None:
    text = "g (float[N, 8, 6, 6] x) => (float[N, 16, 4, 4] y) { y = Conv(x, w) }"
    _, found = reasons(build(text, w=normal(16, 8, 3, 3)))
    assert ["convolutions" in reason for reason in found.values()] == [True]
    text = "g (float[N, 64] x) => (float[N, 64] y) { y = MatMul(x, w) }"
    _, found = reasons(build(text, w=normal(64, 64)), "tensorrt-10")
    assert list(found.values()) == ["tensorrt-10 has no dynamic quantization"]


def test_weights_do_not_saturate_without_vnni() -> None:
    """Neighbours of equal sign at the limit: 255 * (127 + 127) does not fit 16 bits, 255 * 128 does."""
    model = build("g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }", w=np.ones((64, 32), np.float32))
    feed = {"x": np.ones((2, 64), np.float32)}
    assert np.allclose(run(dynamic(model)[0], feed), 64.0, rtol=1e-5)
    result, _ = dynamic(model, WeightRule(8, pair_sums=False))
    assert np.abs(weight_of(result) - 1).max() < 1e-6


def test_weights_in_branches_are_reached() -> None:
    text = """g (float[N, 64] x, bool c) => (float[N, 64] y) {
        a = MatMul(x, w)
        y = If(c) <then_branch = t () => (float[N, 64] u) { u = MatMul(a, w) },
                   else_branch = f () => (float[N, 64] v) { b = MatMul(a, w) v = Relu(b) }> }"""
    model = build(text, w=normal(64, 64, scale=0.1))
    result, changes = dynamic(model)
    assert len(changes) == 3
    for flag in (True, False):
        feed = {"x": normal(3, 64, seed=1), "c": np.array(flag)}
        assert sqnr_db(run(model, feed), run(result, feed)) > 33
    assert not {"MatMul", "Gemm"} & {node.op_type for node in ir.traversal.RecursiveGraphIterator(result.graph)}
    onnx.checker.check_model(ir.to_proto(result))


def test_nodes_in_branches_have_rows_and_names_of_their_own() -> None:
    text = """g (float[N, 64] x, bool c) => (float[N, 64] y) {
        a = MatMul(x, w)
        y = If(c) <then_branch = t () => (float[N, 64] u) { u = MatMul(a, w) },
                   else_branch = f () => (float[N, 64] v) { u = Relu(a) v = MatMul(u, w) }> }"""
    model = build(text, w=normal(64, 64, scale=0.1))
    feed = {"x": normal(3, 64), "c": np.array(True)}
    prepared = prepare(model, feed, targets.get("ort-cpu")())
    names = [node.name for node in ir.traversal.RecursiveGraphIterator(prepared.model.graph)]
    assert len(set(names)) == len(names) == 5
    rows = make_plan(prepared).nodes
    assert [(row.precision, row.weights) for row in rows if row.op_type == "MatMul"] == [
        ("int8", 4096), ("float", 4096), ("float", 4096)
    ]  # fmt: skip
    assert "body of an If" in rows[-1].reason
