"""The integers that a layer multiplies, as matrices."""

import numpy as np
import onnx_ir as ir
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic

from edgebig.diagnose.causes.patches import stored_rows
from edgebig.graph.save import save_model
from tests.diagnose.build import context, layer, qdq
from tests.quantize.build import build, normal


@pytest.mark.parametrize("groups", [1, 2])
def test_patches_times_weights_are_the_convolution(groups: int) -> None:
    text = f"g (float[n, 4, 6, 6] x) => (float[n, 4, 4, 4] y) {{ y = Conv <group = {groups}> (x, w) }}"
    weight = normal(4, 4 // groups, 3, 3)
    model = build(text, w=weight)
    data = {"x": np.abs(normal(1, 4, 6, 6, seed=1))}
    found = context(model, qdq(model, {"x": (0.0, 4.0)}, {"w": None}), data)
    rows_and_weights = stored_rows(found, layer(found, "y"))
    assert rows_and_weights is not None
    rows, matrix = rows_and_weights
    assert rows.shape == (16, 9 * 4 // groups)
    assert matrix.shape == (4 // groups, 9 * 4 // groups)
    scale = np.abs(weight).max() / 127 * 4 / 255
    result = (rows @ matrix.T * scale).T.reshape(-1, 4, 4)
    facts = found.suspects.facts["y"]
    assert facts.own.sqnr_db is not None
    reference = np.zeros_like(result)
    for i in range(4):
        for j in range(4):
            patch = data["x"][0, : 4 // groups, i : i + 3, j : j + 3]
            reference[:, i, j] = (patch * weight[: 4 // groups]).sum(axis=(1, 2, 3))
    assert np.abs(result - reference).max() < 0.05 * np.abs(reference).max()


def test_dynamic_and_signed(tmp_path: object) -> None:
    model = build("g (float[n, 16] x) => (float[n, 8] y) { y = MatMul (x, w) }", w=normal(16, 8))
    data = {"x": normal(4, 16, seed=3)}
    save_model(model, f"{tmp_path}/f.onnx")
    quantize_dynamic(f"{tmp_path}/f.onnx", f"{tmp_path}/q.onnx", weight_type=QuantType.QInt8)
    found = context(model, ir.load(f"{tmp_path}/q.onnx"), data)
    made = stored_rows(found, layer(found, "y"))
    assert made is not None
    assert made[0].shape == (4, 16)
    assert made[0].min() == 0
    assert made[0].max() == 255
    quantize_dynamic(f"{tmp_path}/f.onnx", f"{tmp_path}/u.onnx", weight_type=QuantType.QUInt8)
    unsigned = context(model, ir.load(f"{tmp_path}/u.onnx"), data)
    assert stored_rows(unsigned, layer(unsigned, "y")) is None, "uint8 weights cannot saturate in pairs"
