"""Other scales and ranges, tried on a copy."""

import numpy as np
import onnx_ir as ir
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic

from edgebig.diagnose.what_if import (
    channel_rounded,
    channel_weights,
    has_own_points,
    with_channel_weights,
    with_ranges,
    with_wide_tensors,
)
from edgebig.graph.edit import set_array
from edgebig.graph.save import save_model
from tests.diagnose.build import context, net, net_samples, qdq
from tests.quantize.build import count, run, sqnr_db

SOUND = {"x": (-4.0, 4.0), "b": (0.0, 5.0), "d": (0.0, 5.0), "y": (-5.0, 5.0)}


def spread_net() -> ir.Model:
    """One output channel of the second weight is 200 times the others, and negative: Relu makes nothing of it."""
    model = net()
    value = model.graph.initializers["wb"]
    array = value.const_value.numpy().copy()  # type: ignore[union-attr]
    array[:, 0] = -200 * np.abs(array[:, 0])
    set_array(value, array)
    return model


def test_weights_are_rounded_by_channel() -> None:
    model, data = spread_net(), net_samples()
    found = context(model, qdq(model, {"x": (-4.0, 4.0)}, {"wb": None}), data)
    weights = channel_weights(found, list(found.inspected.quantized_layers))
    assert [layer.outputs[0].name for layer in weights] == ["c"]
    weight = next(iter(weights.values()))
    rounded = channel_rounded(weight)
    steps = np.abs(weight.original).max(axis=0) / 127
    assert (np.abs(rounded - weight.original) <= steps / 2 + 1e-6).all()
    np.testing.assert_allclose(rounded / steps, np.rint(rounded / steps), atol=1e-3)
    before = run(model, data)
    assert sqnr_db(before, run(found.inspected.quantized, data)) < 10
    assert sqnr_db(before, run(with_channel_weights(found, weights), data)) > 30


def test_weights_of_integer_operators(tmp_path: object) -> None:
    model, data = spread_net(), net_samples()
    save_model(model, f"{tmp_path}/f.onnx")
    quantize_dynamic(f"{tmp_path}/f.onnx", f"{tmp_path}/q.onnx", weight_type=QuantType.QInt8)
    found = context(model, ir.load(f"{tmp_path}/q.onnx"), data)
    weights = channel_weights(found, list(found.inspected.quantized_layers))
    assert [layer.outputs[0].name for layer in weights] == ["a", "c", "y"]
    only = {layer: weight for layer, weight in weights.items() if layer.outputs[0].name == "c"}
    changed = with_channel_weights(found, only)
    assert count(changed, "MatMulInteger") == 2
    before = run(model, data)
    assert sqnr_db(before, run(found.inspected.quantized, data)) < 10
    assert sqnr_db(before, run(changed, data)) > 25


def test_ranges_of_the_samples() -> None:
    model, data = net(), net_samples()
    found = context(model, qdq(model, SOUND | {"d": (0.0, 40000.0)}, {"wa": 1}), data)
    pairs = {pair.name: pair for pair in found.inspected.matching.pairs.values()}
    facts = found.facts(pairs["d"])
    assert facts is not None
    assert has_own_points(pairs["d"])
    assert not has_own_points(pairs["a"])
    changed = with_ranges(found, {pairs["d"]: facts})
    node = next(node for node in changed.graph if node.op_type == "QuantizeLinear" and node.inputs[0].name == "d")
    scale = float(node.inputs[1].const_value.numpy())  # type: ignore[union-attr]
    assert scale == pytest.approx(facts.high / 255)
    assert sqnr_db(run(model, data), run(changed, data)) > 25
    assert sqnr_db(run(model, data), run(found.inspected.quantized, data)) < 1, "the model handed in stays"


def test_sixteen_bits() -> None:
    model, data = net(), net_samples()
    quantized = qdq(model, SOUND, {"wa": 1})
    found = context(model, quantized, data)
    wide = with_wide_tensors(found.inspected.quantized)
    assert count(wide, "QuantizeLinear") == 0
    assert count(wide, "Round") == 4
    before = run(model, data)
    assert sqnr_db(before, run(wide, data)) > sqnr_db(before, run(quantized, data)) + 3
    # Where the range is a million times too wide, 16 bits are not enough either.
    dead = context(model, qdq(model, SOUND | {"d": (0.0, 5e6)}, {}), data)
    assert sqnr_db(before, run(with_wide_tensors(dead.inspected.quantized), data)) < 1
