"""Which tensors of both graphs are the same."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgebig.diagnose.match import match_graphs
from edgebig.errors import InvalidModelError
from edgebig.graph.edit import add_initializer
from edgebig.graph.save import save_model
from tests.diagnose.build import context, inspect, layer, net, net_samples, qdq
from tests.quantize.build import build, normal
from tests.small_models import conv_net, conv_net_samples


class Reader(CalibrationDataReader):
    def __init__(self, data: dict[str, np.ndarray]) -> None:
        self.feeds = iter([data])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def test_names_survive_in_qdq() -> None:
    model = net()
    ranges = {"x": (-4.0, 4.0), "b": (0.0, 4.0), "d": (0.0, 4.0), "y": (-4.0, 4.0)}
    found, _ = inspect(model, qdq(model, ranges, {"wa": None, "wb": None, "wc": 1}), net_samples())
    names = {value.name: pair for value, pair in found.matching.pairs.items()}
    assert list(names) == ["x", "a", "b", "c", "d", "y"]
    assert not found.matching.unmatched
    assert [name for name, pair in names.items() if pair.points] == ["x", "b", "d", "y"]
    assert {layer.outputs[0].name for layer in found.quantized_layers} == {"a", "b", "c", "d", "y"}


def test_structure_decides_where_names_are_gone() -> None:
    model = net()
    changed = qdq(model, {"x": (-4.0, 4.0), "b": (0.0, 4.0)}, {"wa": None, "wb": None, "wc": None})
    for count, value in enumerate(value for node in changed.graph for value in node.outputs):
        if not value.is_graph_output():
            value.name = f"renamed_{count}"
    found, _ = inspect(model, changed, net_samples())
    assert [value.name for value in found.matching.pairs] == ["x", "a", "b", "c", "d", "y"]
    assert not found.matching.unmatched


def test_weights_decide_among_equal_readers() -> None:
    text = """g (float[n, 8] x) => (float[n, 8] y) {
        a = MatMul (x, wa)
        b = MatMul (x, wb)
        c = Sigmoid (b)
        y = Mul (a, c)
    }"""
    model = build(text, wa=normal(8, 8, seed=1), wb=normal(8, 8, seed=2))
    changed = qdq(model, {"x": (-4.0, 4.0)}, {"wa": None, "wb": None})
    nodes = {node.outputs[0].name: node for node in changed.graph}
    nodes["a"].outputs[0].name, nodes["b"].outputs[0].name = "one", "two"
    found, _ = inspect(model, changed, {"x": normal(8, 8, seed=3)})
    raw = {value.name: pair.raw.name for value, pair in found.matching.pairs.items() if pair.raw is not None}
    assert raw["a"] == "one"
    assert raw["b"] == "two"


@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
def test_onnxruntime_static_with_dropped_relu(tmp_path: object, form: QuantFormat) -> None:
    model, data = conv_net(), conv_net_samples(4)
    save_model(model, f"{tmp_path}/f.onnx")
    quant_pre_process(f"{tmp_path}/f.onnx", f"{tmp_path}/p.onnx")
    quantize_static(f"{tmp_path}/p.onnx", f"{tmp_path}/q.onnx", Reader(data), quant_format=form)
    found, _ = inspect(model, ir.load(f"{tmp_path}/q.onnx"), data)
    names = {value.name for value in found.matching.pairs}
    assert {"b", "d", "f", "g", "h", "logits"} <= names, "the activations are what stays of Conv and Relu"
    assert {value.name for value in found.matching.unmatched} <= {"a", "c", "e"}
    relu = next(pair for value, pair in found.matching.pairs.items() if value.name == "b")
    assert relu.raw is None, "what stands before the integers has no Relu"


def test_a_clip_that_became_a_range_is_found_where_no_name_and_no_reader_tells() -> None:
    text = """g (float[n, 8] x) => (float[n, 1] y) {
        a = MatMul (x, w)
        b = Clip (a, zero, six) y = ReduceMean (b, axes)
    }"""
    limits = {"zero": np.float32(0), "six": np.float32(6), "axes": np.array([1], np.int64)}
    model = build(text, w=normal(8, 8), **limits)
    without = build(text.replace("b = Clip (a, zero, six) y = ReduceMean (b, axes)", "y = ReduceL1 (a, axes)"),
                    w=normal(8, 8), axes=limits["axes"])  # fmt: skip
    found, _ = inspect(model, qdq(without, {"a": (0.0, 6.0)}, {"w": 1}), {"x": normal(16, 8, seed=2)})
    pairs = {value.name: pair for value, pair in found.matching.pairs.items()}
    assert pairs["b"].raw is None
    assert len(pairs["b"].points) == 1
    assert not pairs["a"].points, "what stands before the integers is not cut off yet"
    wide, _ = inspect(model, qdq(without, {"a": (-6.0, 6.0)}, {"w": 1}), {"x": normal(16, 8, seed=2)})
    assert "b" not in {value.name for value in wide.matching.pairs}, "integers with negative numbers are no Clip at 0"


def test_another_scale_on_the_way_out_computes() -> None:
    text = """g (float[n, 8] x) => (float[n, 8] y) {
        a = MatMul (x, w)
        b = HardSigmoid <alpha = 0.5, beta = 0.5> (a)
        y = Mul (b, b)
    }"""
    model = build(text, w=normal(8, 8, scale=0.2))
    without = build(text.replace("b = HardSigmoid <alpha = 0.5, beta = 0.5> (a)", "").replace("(b, b)", "(a, a)"),
                    w=normal(8, 8, scale=0.2))  # fmt: skip
    changed = qdq(without, {"a": (-1.0, 1.0)})
    node = next(node for node in changed.graph if node.op_type == "DequantizeLinear")
    scale = add_initializer(changed.graph, "half", np.asarray(1 / 255, np.float32))
    node.replace_input_with(1, scale)
    node.replace_input_with(2, add_initializer(changed.graph, "zero", np.asarray(0, np.uint8)))
    found = context(model, changed, {"x": normal(16, 8, seed=2)})
    facts = found.suspects.facts
    assert set(facts) == {"x", "a", "b", "y"}
    assert facts["a"].own.sqnr_db == float("inf"), "nothing is quantized before it"
    assert facts["b"].own.sqnr_db is not None
    assert 25 < facts["b"].own.sqnr_db < 70


def test_onnxruntime_dynamic(tmp_path: object) -> None:
    model, data = conv_net(), conv_net_samples(4)
    save_model(model, f"{tmp_path}/f.onnx")
    quantize_dynamic(f"{tmp_path}/f.onnx", f"{tmp_path}/q.onnx", weight_type=QuantType.QInt8)
    found, _ = inspect(model, ir.load(f"{tmp_path}/q.onnx"), data)
    assert not found.matching.unmatched
    kinds = {layer.op_type: how for layer, how in found.quantized_layers.items()}
    assert kinds["Conv"] == "ConvInteger+DynamicQuantizeLinear"


def test_folded_batch_norm(tmp_path: object) -> None:
    text = """g (float[n, 4, 6, 6] x) => (float[n, 8, 6, 6] y) {
        a = Conv <pads = [1, 1, 1, 1]> (x, w)
        b = BatchNormalization (a, s, z, m, v)
        y = Sigmoid (b)
    }"""
    ones = np.linspace(0.5, 2, 8).astype(np.float32)
    model = build(text, w=normal(8, 4, 3, 3), s=ones, z=ones - 1, m=ones - 1, v=ones)
    onnx.save(ir.to_proto(model), f"{tmp_path}/f.onnx")
    quant_pre_process(f"{tmp_path}/f.onnx", f"{tmp_path}/p.onnx")
    data = {"x": normal(4, 4, 6, 6)}
    quantize_static(f"{tmp_path}/p.onnx", f"{tmp_path}/q.onnx", Reader(data))
    found, _ = inspect(model, ir.load(f"{tmp_path}/q.onnx"), data)
    assert {value.name for value in found.matching.pairs} == {"x", "b", "y"}
    assert [value.name for value in found.matching.unmatched] == ["a"]


def test_weights_quantized_in_the_graph_and_points_at_inputs_only() -> None:
    """As tools for quantization-aware training write it: float weights behind a Q/DQ pair, no pair at results."""
    model, data = net(), net_samples()
    changed = qdq(model, {"x": (-4.0, 4.0), "b": (0.0, 5.0), "d": (0.0, 5.0)})
    for name, values in (("wa", "a"), ("wb", "c")):
        reader = next(node for node in changed.graph if node.outputs[0].name == values)
        weight = changed.graph.initializers[name]
        peak = np.abs(weight.const_value.numpy()).max(axis=0)  # type: ignore[union-attr]
        scale = add_initializer(changed.graph, f"{name}/scale", (peak / 127).astype(np.float32))
        point = add_initializer(changed.graph, f"{name}/zero", np.zeros(peak.size, np.int8))
        pair = []
        for op_type, source in (("QuantizeLinear", weight), ("DequantizeLinear", None)):
            inputs = [source if source is not None else pair[-1].outputs[0], scale, point]
            pair.append(ir.node(op_type, inputs=inputs, attributes={"axis": 1}))
            pair[-1].outputs[0].name = f"{name}/{op_type}"
        changed.graph.extend(pair)
        reader.replace_input_with(1, pair[-1].outputs[0])
    changed.graph.sort()
    found = context(model, changed, data)
    assert not found.inspected.matching.unmatched
    assert found.inspected.quantized_layers[layer(found, "a")] == "weights"
    assert layer(found, "y") not in found.inspected.quantized_layers
    weight = found.weight(layer(found, "c"))
    assert weight is not None
    assert weight.scale.size == 32
    assert np.abs(weight.quantized - weight.original).max() <= weight.scale.max() / 2 + 1e-6


def test_other_models_are_refused() -> None:
    model = net()
    other = build("g (float[n, 16] other) => (float[n, 16] y) { y = Relu (other) }")
    with pytest.raises(InvalidModelError, match="its inputs are other, those of the float model are x"):
        match_graphs(model, other)
    same_names = """g (float[n, 16] x) => (float[n, 8] y) {
        p = Exp (x)
        q = ReduceSum <keepdims = 1> (p, axes)
        r = Div (p, q)
        s = Sigmoid (r)
        y = MatMul (s, w)
    }"""
    other = build(same_names, axes=np.array([1], np.int64), w=normal(16, 8))
    with pytest.raises(InvalidModelError, match="none of the 4 tensors between inputs and outputs was found"):
        match_graphs(model, other)
