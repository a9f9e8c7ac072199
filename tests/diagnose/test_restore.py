"""Layers put back to float."""

import numpy as np
import onnx_ir as ir
import pytest
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

from edgebig.diagnose.restore import restored_model
from edgebig.graph.save import save_model
from tests.diagnose.build import inspect, net, net_samples, qdq
from tests.diagnose.test_match import Reader
from tests.quantize.build import count, run, sqnr_db
from tests.small_models import conv_net, conv_net_samples

RANGES = {"x": (-4.0, 4.0), "b": (0.0, 4.0), "d": (0.0, 40000.0), "y": (-4.0, 4.0)}


@pytest.mark.parametrize("form", ["qdq", "qoperator", "dynamic"])
def test_all_layers_in_float_are_the_float_model(form: str, tmp_path: object) -> None:
    model, data = conv_net(), conv_net_samples(4)
    save_model(model, f"{tmp_path}/f.onnx")
    if form == "dynamic":
        quantize_dynamic(f"{tmp_path}/f.onnx", f"{tmp_path}/q.onnx", weight_type=QuantType.QInt8)
    else:
        kind = QuantFormat.QDQ if form == "qdq" else QuantFormat.QOperator
        quantize_static(f"{tmp_path}/f.onnx", f"{tmp_path}/q.onnx", Reader(data), quant_format=kind)
    found, _ = inspect(model, ir.load(f"{tmp_path}/q.onnx"), data)
    before = run(model, data)
    np.testing.assert_allclose(run(restored_model(found, list(found.layers)), data), before, atol=1e-5)
    # One layer at a time changes something, and never the interface.
    for layer in found.quantized_layers:
        one = restored_model(found, [layer])
        assert [value.name for value in one.graph.outputs] == ["logits"]
        assert sqnr_db(before, run(one, data)) > 15


def test_the_layer_at_fault_and_its_reader_repair_the_model() -> None:
    model, data = net(), net_samples()
    changed = qdq(model, RANGES, {"wa": None, "wb": None, "wc": None})
    found, _ = inspect(model, changed, data)
    layers = {layer.outputs[0].name: layer for layer in found.layers}
    before = run(model, data)
    assert sqnr_db(before, run(changed, data)) < 1
    alone = restored_model(found, [layers["d"]])
    assert sqnr_db(before, run(alone, data)) < 1, "its reader still asks for the integers"
    both = restored_model(found, [layers["d"], layers["y"]])
    assert sqnr_db(before, run(both, data)) > 25
    assert count(both, "QuantizeLinear") == count(changed, "QuantizeLinear") - 2, "d and the output stay in float"
    assert count(changed, "QuantizeLinear") == 4, "the model handed in stays"
