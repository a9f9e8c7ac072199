"""The forms an operator comes in: factors of Gemm, constants on either side, stacks, ranks, groups, Identity."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.quantize.normalize import normalize
from tests.quantize.build import build, count, executed, normal, run, sqnr_db
from tests.quantize.ops.build import planned, static

TARGETS = ("ort-cpu-avx2", "tensorrt-10", "qnn")


@settings(max_examples=12, deadline=None)
@given(
    alpha=st.sampled_from([1.0, 0.25, -2.0]),
    beta=st.sampled_from([1.0, 0.5, 0.0, -3.0]),
    transposed=st.booleans(),
    bias=st.sampled_from(["", "vector", "number"]),
    shared=st.booleans(),
)
def test_the_factors_of_gemm_go_into_its_constants(
    alpha: float, beta: float, transposed: bool, bias: str, shared: bool
) -> None:
    weight = normal(24, 20, scale=0.3)
    arrays = {"w": weight.T.copy() if transposed else weight}
    arrays |= {"": {}, "vector": {"b": normal(20)}, "number": {"b": np.ones(1, np.float32)}}[bias]
    attributes = f"alpha = {alpha}, beta = {beta}, transB = {int(transposed)}"
    other = f"z = Gemm<transB = {int(transposed)}>(x, w)" if shared else "z = Identity(x)"
    text = f"""g (float[N, 24] x) => (float[N, 20] y, float[N, M] z) {{
        a = Gemm<{attributes}>(x, w{", b" if bias else ""}) y = Identity(a) {other} }}"""
    model, feed = build(text, **arrays), {"x": normal(16, 24, seed=1)}
    copy = model.clone()
    normalize(copy)
    assert np.allclose(run(model, feed), run(copy, feed), atol=1e-5)
    result = static(model, [feed]).model
    assert not any({"alpha", "beta"} & set(node.attributes) for node in result.graph if node.op_type == "Gemm")
    assert sqnr_db(run(model, feed), run(result, feed)) > 30
    assert "Gemm" in {node.op_type for node in result.graph}


def test_a_factor_of_what_is_not_constant_is_refused_with_a_reason() -> None:
    text = "g (float[N, 24] x, float[20] b) => (float[N, 20] y) { y = Gemm<beta = 2.0>(x, w, b) }"
    model = build(text, w=normal(24, 20))
    (node,) = planned(model, {"x": normal(4, 24), "b": normal(20)})
    assert node.precision == "float" and "bias is not one constant" in node.reason


def test_identities_do_not_keep_neighbours_apart(tmp_path: Path) -> None:
    text = """g (float[N, 8, 6, 6] x) => (float[N, 8, 6, 6] y, float[N, 8, 6, 6] a) {
        i = Identity(x) a = Conv(i, w, b) c = Identity(a) d = Identity(c) e = Relu(d) f = Conv(e, w, b)
        y = Identity(f) }"""
    model, feed = build(text, w=normal(8, 8, 1, 1, scale=0.3), b=normal(8)), {"x": normal(4, 8, 6, 6)}
    result = static(model, [feed]).model
    assert [value.name for value in result.graph.outputs] == ["y", "a"]
    assert sqnr_db(run(model, feed), run(result, feed)) > 25
    assert executed(result, str(tmp_path / "q.onnx")).count("QLinearConv") == 2


@pytest.mark.parametrize("form", ["first", "stack", "first stack"])
@pytest.mark.parametrize("target", TARGETS)
def test_products_with_one_scale_for_the_constant(form: str, target: str, tmp_path: Path) -> None:
    """A constant first factor, or a stack of matrices: quantized all the same, and stored in integers."""
    weight = {"first": normal(20, 12), "stack": normal(3, 24, 20), "first stack": normal(3, 20, 12)}[form]
    inside = "a = MatMul(w, x)" if "first" in form else "a = MatMul(x, w)"
    model = build(f"g (float[3, 12, 24] x) => (float[3, P, Q] y) {{ {inside} y = Erf(a) }}", w=weight * 0.2)
    feeds = [{"x": normal(3, 12, 24, seed=seed)} for seed in range(4)]
    result = static(model, feeds, target)
    assert result.plan.nodes[0].precision == "int8" and result.plan.nodes[0].weights == weight.size
    stored = [value for value in result.model.graph.initializers.values() if value.const_value.size == weight.size]
    assert [value.dtype for value in stored] in ([ir.DataType.UINT8], [ir.DataType.INT8])
    assert sqnr_db(run(model, feeds[0]), run(result.model, feeds[0])) > (18 if target == "qnn" else 27)
    if target == "ort-cpu-avx2":
        assert "MatMulIntegerToFloat" in executed(result.model, str(tmp_path / "q.onnx"))


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("groups", [1, 2, 8])
def test_convolutions_of_other_ranks(rank: int, groups: int, tmp_path: Path) -> None:
    space = {1: "20", 3: "5, 6, 7"}[rank]
    shape = [int(size) for size in space.split(", ")]
    model = build(
        f"g (float[N, 8, {space}] x) => (float[N, 16, P{', Q, R' if rank == 3 else ''}] y) {{"
        f" a = Conv<group = {groups}>(x, w, b) r = Relu(a) y = Conv(r, w1) }}",
        w=normal(16, 8 // groups, *[3] * rank, scale=0.2), b=normal(16), w1=normal(16, 16, *[1] * rank, scale=0.2),
    )  # fmt: skip
    feeds = [{"x": normal(2, 8, *shape, seed=seed)} for seed in range(4)]
    result = static(model, feeds, "qnn").model  # asks for all of them
    assert sqnr_db(run(model, feeds[0]), run(result, feeds[0])) > 25
    assert executed(result, str(tmp_path / "q.onnx")).count("QLinearConv") == 2


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", ["", ", b"])
@pytest.mark.parametrize("target", ["tensorrt-10", "openvino", "qnn"])
def test_transposed_convolutions(groups: int, bias: str, target: str) -> None:
    """Channels with ranges 1000 apart: the axis of the scales is the output channels'."""
    weight = normal(8, 6 // groups, 2, 2, scale=0.3) * np.geomspace(0.001, 1, 6 // groups, dtype="f")[:, None, None]
    text = f"""g (float[N, 8, 5, 5] x) => (float[N, 6, 10, 10] y) {{
        y = ConvTranspose<strides = [2, 2], group = {groups}>(x, w{bias}) }}"""
    arrays = {"w": weight} | ({"b": normal(6, scale=0.001)} if bias else {})
    model = build(text, **arrays)
    feeds = [{"x": normal(2, 8, 5, 5, seed=seed)} for seed in range(4)]
    result = static(model, feeds, target).model
    if target == "qnn":
        assert count(result, "DequantizeLinear") == (4 if bias else 3)
        return  # its results have one scale
    reference, changed = run(model, feeds[0]), run(result, feeds[0], optimize=False)
    for channel in range(6):
        assert sqnr_db(reference[:, channel], changed[:, channel]) > 27


def test_transposed_convolutions_stay_float_in_onnxruntime() -> None:
    model = build("g (float[N, 8, 5, 5] x) => (float[N, 6, 6, 6] y) { y = ConvTranspose(x, w) }", w=normal(8, 6, 2, 2))
    (node,) = planned(model, {"x": normal(2, 8, 5, 5)})
    assert node.reason == "onnxruntime has no integer kernel for it"
