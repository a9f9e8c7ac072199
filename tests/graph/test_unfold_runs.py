"""Rows times the weight's matrix are what onnxruntime computes, for every operator and its attributes."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.graph.session import Session
from edgebig.graph.unfold import choose_positions, count_positions, source_rows, target_rows
from edgebig.graph.weights import weighted_nodes

CASES = {
    "conv": ("Conv (x, w)", (2, 4, 9, 7), (6, 4, 3, 2)),
    "conv, one axis": ("Conv <pads = [2, 1], strides = [2]> (x, w)", (3, 4, 11), (5, 4, 3)),
    "conv, three axes": ("Conv <pads = [1, 0, 1, 0, 1, 1]> (x, w)", (2, 2, 4, 5, 4), (3, 2, 2, 3, 2)),
    "conv, lopsided": ("Conv <pads = [0, 2, 1, 0], strides = [2, 1]> (x, w)", (2, 3, 8, 6), (4, 3, 3, 3)),
    "conv, dilated groups": ("Conv <group = 2, dilations = [2, 3]> (x, w)", (2, 6, 9, 9), (4, 3, 3, 2)),
    "conv, depthwise": (
        'Conv <group = 5, auto_pad = "SAME_UPPER", strides = [2, 2]> (x, w)',
        (2, 5, 8, 7),
        (5, 1, 3, 3),
    ),
    "conv, same lower": ('Conv <auto_pad = "SAME_LOWER", strides = [2, 2]> (x, w)', (2, 3, 8, 7), (4, 3, 4, 3)),
    "conv, valid": ('Conv <auto_pad = "VALID"> (x, w)', (2, 3, 5, 5), (4, 3, 2, 2)),
    "transposed": ("ConvTranspose <strides = [2, 3], pads = [1, 0, 0, 2]> (x, w)", (2, 4, 5, 4), (4, 3, 3, 4)),
    "transposed, more": (
        "ConvTranspose <strides = [2, 2], dilations = [2, 1], output_padding = [1, 0]> (x, w)",
        (2, 3, 4, 4),
        (3, 5, 2, 3),
    ),
    "gemm": ("Gemm (x, w)", (7, 5), (5, 3)),
    "gemm, turned": ("Gemm <transA = 1, transB = 1, alpha = 0.5> (x, w)", (5, 7), (3, 5)),
    "matmul": ("MatMul (x, w)", (2, 3, 4, 6), (6, 5)),
    "matmul of a vector": ("MatMul (x, w)", (6,), (6, 5)),
    "matmul, weight first": ("MatMul (w, x)", (2, 3, 6, 4), (5, 6)),
    "matmul, weight first, vector": ("MatMul (w, x)", (6,), (5, 6)),
}


def run(case: str, rng: np.random.Generator) -> tuple:
    call, shape, weight = CASES[case]
    dims = ", ".join(map(str, shape))
    model = ir.from_onnx_text(
        f'<ir_version: 10, opset_import: ["" : 18]> net (float[{dims}] x, float[{", ".join(map(str, weight))}] w) '
        f"=> (float y) {{ y = {call} }}"
    )
    value = model.graph.inputs.pop()
    value.const_value = ir.tensor(rng.normal(size=weight).astype(np.float32), name="w")
    model.graph.register_initializer(value)
    model.graph.outputs[0].shape = None
    x = rng.normal(size=shape).astype(np.float32)
    with Session(model, threads=1) as session:
        y = session.run({"x": x})["y"]
    (layer,) = weighted_nodes(model.graph)
    return layer, x, y


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=6, deadline=None)
@given(limit=st.sampled_from([1, 5, 10**6]), seed=st.integers(0, 99))
def test_rows_times_matrix(case: str, limit: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, x, y = run(case, rng)
    chosen = choose_positions(layer, y.shape, limit=limit, rng=rng)
    assert list(chosen) == sorted(set(chosen))
    rows, goal = source_rows(layer, x, y.shape, chosen), target_rows(layer, y, chosen)
    matrix = layer.to_matrix(layer.array())
    groups = len(rows)
    product = np.einsum("gnk,gok->gno", rows, matrix.reshape(groups, len(matrix) // groups, -1))
    np.testing.assert_allclose(product, goal, rtol=1e-4, atol=1e-4)
    total = count_positions(layer, y.shape)
    assert total * len(matrix) == y.size
    samples = x.shape[0] if "Conv" in layer.node.op_type else 1
    assert rows.shape[1] == min(total, max(limit // samples, 1) * samples)
