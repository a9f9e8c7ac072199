"""MatMul, Gemm and embeddings in 4 and 8 bits: stock onnxruntime gives the answers of the dequantized weights."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.graph.load import load_model
from edgebig.graph.save import save_model
from edgebig.quantize.weight_only import WeightOnlySettings, quantize_weights
from tests.naive.weight_only import dequantized, nbits_weight, table
from tests.quantize.build import build, count, normal, run

# Relative to the largest output; the sums are in float32.
FLOAT = 2e-6


def only(model: ir.Model, op_type: str) -> ir.Node:
    (node,) = [node for node in model.graph if node.op_type == op_type]
    return node


def close(got: np.ndarray, want: np.ndarray, tolerance: float = FLOAT) -> bool:
    return got.shape == want.shape and float(np.abs(got - want).max()) <= tolerance * float(np.abs(want).max())


def matmul(inputs: int, outputs: int, opset: int = 18) -> ir.Model:
    text = f"m (float[n, {inputs}] x) => (float[n, {outputs}] y) {{ y = MatMul(x, w) }}"
    return build(text, opset, w=normal(inputs, outputs))


@settings(max_examples=12, deadline=None)
@given(
    inputs=st.integers(17, 140),
    outputs=st.integers(1, 40),
    bits=st.sampled_from([4, 8]),
    block=st.sampled_from([16, 32, 64, 128, 256, -1]),
    symmetric=st.booleans(),
    method=st.sampled_from(["rtn", "hqq"]),
)
def test_matmul_nbits_is_the_product_with_the_dequantized_weight(
    inputs: int, outputs: int, bits: int, block: int, symmetric: bool, method: str
) -> None:
    model = matmul(inputs, outputs)
    how = WeightOnlySettings(bits=bits, block_size=block, symmetric=symmetric, method=method, accuracy_level=0)
    padded = -(-inputs // max(block, 16)) * max(block, 16)
    if (bits == 8 and padded > 2 * inputs) or padded > 4 * inputs:
        return  # padding outweighs the gain: such weights stay in float, see below
    result, (change,) = quantize_weights(model, settings=how)
    weight = nbits_weight(only(result, "MatMulNBits"))
    x = normal(3, inputs, seed=1)
    assert close(run(result, {"x": x}), x.astype(np.float64) @ weight.T)
    original = model.graph.initializers["w"].const_value.numpy().T.astype(np.float64)
    measured = float(np.square(weight - original).mean() / np.square(original).mean())
    assert change.weight_error == pytest.approx(measured, rel=1e-3)
    assert change.weights == inputs * outputs
    assert change.bytes_before == 4 * inputs * outputs > change.bytes_after


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_rounding_without_search_errs_by_half_a_step(bits: int, symmetric: bool) -> None:
    model = matmul(96, 10)
    result, _ = quantize_weights(model, settings=WeightOnlySettings(bits=bits, symmetric=symmetric, search=False))
    node = only(result, "MatMulNBits")
    steps = np.repeat(node.inputs[2].const_value.numpy(), 32, axis=1)
    error = np.abs(nbits_weight(node) - model.graph.initializers["w"].const_value.numpy().T)
    # Zero points are integers: the end of the range may be clipped by another half of a step.
    assert (error <= steps * (0.5001 if symmetric else 1.0001)).all()


@pytest.mark.parametrize("block", [32, -1])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_qdq_form_is_the_product_with_the_dequantized_weight(bits: int, block: int, symmetric: bool) -> None:
    how = WeightOnlySettings(bits=bits, block_size=block, symmetric=symmetric, format="qdq")
    result, (change,) = quantize_weights(matmul(80, 24, opset=11), settings=how)
    assert result.opset_imports[""] == (21 if block > 0 or bits == 4 else 13)
    weight = dequantized(only(result, "DequantizeLinear"))
    assert weight.shape == (80, 24)
    x = normal(3, 80, seed=1)
    assert close(run(result, {"x": x}, optimize=False), x.astype(np.float64) @ weight)
    # onnxruntime's own fusion may round activations to int8.
    assert close(run(result, {"x": x}), x.astype(np.float64) @ weight, 0.02)
    assert f"int{bits}" in change.how


@pytest.mark.parametrize("form", ["nbits", "qdq"])
@pytest.mark.parametrize("attributes", ["", "transB=1", "transA=1", "alpha=0.5", "beta=2.0", "alpha=0.5, beta=0.25"])
@pytest.mark.parametrize("bias", [(24,), (1, 24), (1,), None])
def test_gemm_of_any_kind(form: str, attributes: str, bias: tuple[int, ...] | None) -> None:
    weight = normal(24, 64) if "transB" in attributes else normal(64, 24)
    x = normal(64, 3, seed=1) if "transA" in attributes else normal(3, 64, seed=1)
    constants = {"w": weight} | ({} if bias is None else {"c": normal(*bias, seed=2)})
    shape = ", ".join(str(size) for size in x.shape)
    reads = "x, w" if bias is None else "x, w, c"
    call = f"Gemm <{attributes}> ({reads})" if attributes else f"Gemm({reads})"
    model = build(f"m (float[{shape}] x) => (float[3, 24] y) {{ y = {call} }}", **constants)
    result, _ = quantize_weights(model, settings=WeightOnlySettings(bits=8, format=form, accuracy_level=0))
    assert count(result, "MatMulNBits") == (form == "nbits")
    kept = (
        nbits_weight(only(result, "MatMulNBits")) if form == "nbits" else dequantized(only(result, "DequantizeLinear"))
    )
    kept = kept if form == "qdq" or "transB" in attributes else kept.T
    for name, value in {"w": kept.astype(np.float32)}.items():
        model.graph.initializers[name].const_value = ir.tensor(np.ascontiguousarray(value))
    # The reference rounds the oracle's weight to float32.
    assert close(run(result, {"x": x}, optimize=False), run(model, {"x": x}), 2e-6)


def embedding(rows: int, columns: int) -> ir.Model:
    text = f"m (int64[a, b] i) => (float[a, b, {columns}] y) {{ y = Gather(e, i) }}"
    return build(text, e=normal(rows, columns))


@pytest.mark.parametrize(("bits", "columns"), [(4, 64), (4, 50), (8, 64), (8, 40)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_embedding_rows_are_those_of_the_packed_table(bits: int, columns: int, symmetric: bool) -> None:
    how = WeightOnlySettings(bits=4, table_bits=bits, block_size=16, symmetric=symmetric)
    result, (change,) = quantize_weights(embedding(30, columns), settings=how)
    node = only(result, "GatherBlockQuantized")
    rows = table(node, node.inputs[0].const_value.numpy(), columns)
    indices = np.array([[0, 29, 5], [-1, 7, 7]])
    assert np.array_equal(run(result, {"i": indices}), rows[indices].astype(np.float32))
    assert np.square(rows - normal(30, columns)).mean() <= change.weight_error * 1.001


def test_embedding_in_qdq_form_gathers_integers() -> None:
    result, _ = quantize_weights(embedding(30, 64), settings=WeightOnlySettings(format="qdq"))
    assert [node.op_type for node in result.graph] == ["Gather", "Gather", "DequantizeLinear"]
    indices = np.array([[0, 29, 5], [-1, 7, 7]])
    got = run(result, {"i": indices})
    assert np.abs(got - normal(30, 64)[indices]).max() < 4 / 127


@pytest.mark.parametrize("form", ["nbits", "qdq"])
@pytest.mark.parametrize("columns", [64, 40])
def test_a_table_tied_to_the_head_is_quantized_once(form: str, columns: int, tmp_path: Path) -> None:
    text = """m (int64[n] i) => (float[n, 90] y) {
        h = Gather(e, i) t = Transpose <perm = [1, 0]> (e) u = Relu(h) y = MatMul(u, t) }"""
    model = build(text, e=normal(90, columns))
    result, changes = quantize_weights(model, settings=WeightOnlySettings(bits=4, format=form))
    assert [change.weights for change in changes] == [90 * columns, 0]
    assert "shares the weight" in changes[1].how
    large = [value for value in result.graph.initializers.values() if value.const_value.nbytes >= 90 * columns]
    assert len(large) == 1
    (path, *_) = save_model(result, tmp_path / "tied.onnx")
    indices = np.arange(7)
    rows = run(result, {"i": indices}, optimize=False)
    want = np.maximum(normal(90, columns)[indices], 0) @ normal(90, columns).T
    assert close(rows, want, 0.02)
    assert np.array_equal(run(load_model(path), {"i": indices}, optimize=False), rows)


def test_products_that_share_a_weight_share_its_integers() -> None:
    text = "m (float[n, 64] x) => (float[n, 64] y) { h = MatMul(x, w) r = Relu(h) y = MatMul(r, w) }"
    result, changes = quantize_weights(build(text, w=normal(64, 64, scale=0.1)))
    first, second = [node for node in result.graph if node.op_type == "MatMulNBits"]
    assert first.inputs[1] is second.inputs[1]
    assert [change.bytes_before for change in changes] == [4 * 64 * 64, 0]


@pytest.mark.parametrize("form", ["nbits", "qdq"])
def test_half_precision_weights_behind_casts(form: str) -> None:
    text = "m (float[n, 64] x) => (float[n, 24] y) { c = Cast <to = 1> (w) y = MatMul(x, c) }"
    result, _ = quantize_weights(
        build(text, w=normal(64, 24).astype(np.float16)), settings=WeightOnlySettings(format=form, bits=8)
    )
    x = normal(3, 64, seed=1)
    assert close(run(result, {"x": x}, optimize=False), x @ normal(64, 24), 0.02)
    assert count(result, "Cast") == (form == "qdq")


@pytest.mark.parametrize("bits", [4, 8])
def test_activations_in_int8_lose_little(bits: int) -> None:
    result, _ = quantize_weights(matmul(128, 40), settings=WeightOnlySettings(bits=bits))
    node = only(result, "MatMulNBits")
    assert node.attributes["accuracy_level"].as_int() == 4
    x = normal(16, 128, seed=1)
    assert close(run(result, {"x": x}), x.astype(np.float64) @ nbits_weight(node).T, 0.01)


def test_half_precision_products() -> None:
    text = "m (float16[n, 64] x) => (float16[n, 24] y) { y = MatMul(x, w) }"
    result, _ = quantize_weights(
        build(text, w=normal(64, 24, scale=0.2).astype(np.float16)),
        settings=WeightOnlySettings(bits=8, accuracy_level=0),
    )
    node = only(result, "MatMulNBits")
    assert node.inputs[2].dtype == ir.DataType.FLOAT16
    x = normal(3, 64, seed=1).astype(np.float16)
    assert close(run(result, {"x": x}).astype(np.float64), x.astype(np.float64) @ nbits_weight(node).T, 3e-3)
