"""Weights of other operators and in other places: convolutions, recurrent nets, batched products, bodies of If."""

import itertools

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgebig.errors import InvalidModelError, UsageError
from edgebig.graph.edit import working_copy
from edgebig.graph.skeleton import model_bytes
from edgebig.quantize.weight_only import WeightOnlySettings, candidates, quantize_weights
from tests.quantize.build import build, count, normal, run, sqnr_db


@pytest.mark.parametrize("form", ["nbits", "qdq"])
@pytest.mark.parametrize("bits", [4, 8])
def test_convolutions_have_a_scale_per_output_channel(form: str, bits: int) -> None:
    text = """m (float[1, 24, 9, 9] x) => (float[1, 20, 19, 19] y) {
        h = Conv <pads = [1, 1, 1, 1]> (x, a) y = ConvTranspose <strides = [2, 2]> (h, b) }"""
    weights = {"a": normal(24, 24, 3, 3), "b": normal(24, 20, 3, 3, seed=1)}
    weights["a"][3] *= 1000  # a scale for all would lose every other channel
    model = build(text, **weights)
    result, changes = quantize_weights(model, settings=WeightOnlySettings(bits=bits, format=form))
    assert [change.how.split(",")[0] for change in changes] == ["int8", "int8"]
    assert all(change.weight_error < 1e-4 for change in changes)
    x = {"x": normal(1, 24, 9, 9, seed=2)}
    assert sqnr_db(run(model, x), run(result, x)) > 40


@pytest.mark.parametrize("form", ["nbits", "qdq"])
@pytest.mark.parametrize(("op_type", "gates"), [("LSTM", 4), ("GRU", 3)])
def test_recurrent_weights(op_type: str, gates: int, form: str) -> None:
    text = f"m (float[7, 2, 32] x) => (float[7, 1, 2, 48] y) {{ y = {op_type} <hidden_size = 48> (x, w, r, b) }}"
    arrays = {
        "w": normal(1, gates * 48, 32),
        "r": normal(1, gates * 48, 48, seed=1),
        "b": normal(1, gates * 96, seed=2),
    }
    model = build(text, **{name: array * np.float32(0.2) for name, array in arrays.items()})
    result, changes = quantize_weights(model, settings=WeightOnlySettings(bits=8, format=form))
    assert count(result, "DequantizeLinear") == 2
    assert sum(change.weights for change in changes) == gates * 48 * 80
    assert model_bytes(result) < model_bytes(model) / 2.5
    x = {"x": normal(7, 2, 32, seed=3)}
    assert sqnr_db(run(model, x), run(result, x)) > 35


@pytest.mark.parametrize("form", ["nbits", "qdq"])
def test_batched_and_left_hand_weights(form: str) -> None:
    text = """m (float[3, 5, 32] x) => (float[3, 20, 24] y) { h = MatMul(x, w) y = MatMul(v, h) }"""
    model = build(text, w=normal(3, 32, 24), v=normal(20, 5, seed=1))
    result, changes = quantize_weights(model, settings=WeightOnlySettings(bits=8, format=form))
    assert [change.weights for change in changes] == [3 * 32 * 24, 20 * 5]
    x = {"x": normal(3, 5, 32, seed=2)}
    assert sqnr_db(run(model, x), run(result, x)) > 35


def test_weights_in_the_branches_of_an_if() -> None:
    branch = "{n} () => (float[n, 24] {n}_y) {{ {n}_y = MatMul(x, {w}) }}"
    parser = onnx.parser.parse_graph
    then, other = (parser(branch.format(n=name, w=w)) for name, w in (("yes", "w"), ("no", "inner")))
    other.initializer.append(onnx.numpy_helper.from_array(normal(64, 24, seed=1), "inner"))
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> m (float[n, 64] x, bool c) => (float[n, 24] y) { y = Identity(x) }'
    )
    del proto.graph.node[:]
    proto.graph.node.append(onnx.helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(normal(64, 24), "w"))
    model = ir.from_proto(proto)
    result, changes = quantize_weights(model, settings=WeightOnlySettings(bits=8))
    assert len(changes) == 2
    for flag in (True, False):
        feed = {"x": normal(2, 64, seed=2), "c": np.array(flag)}
        assert sqnr_db(run(model, feed), run(result, feed)) > 35


def test_constant_nodes_are_weights_too() -> None:
    model = build("m (float[n, 64] x) => (float[n, 24] y) { y = MatMul(x, w) }", w=normal(64, 24))
    value = model.graph.initializers.pop("w")
    constant = ir.node("Constant", [], {"value": value.const_value}, num_outputs=1)
    model.graph.insert_before(model.graph[0], constant)
    model.graph[1].replace_input_with(1, constant.outputs[0])
    result, _ = quantize_weights(model)
    assert [node.op_type for node in result.graph] == ["MatMulNBits"]


SHARED = """m (int64[n] i, float[k, 64] x) => (float[n, 64] y, float[k, 90] z) {
    y = Gather(e, i) z = Gemm <transB = 1> (x, e) }"""


def test_a_weight_shared_with_an_excluded_node_stays_in_float() -> None:
    model = build(SHARED, e=normal(90, 64))
    model.graph[1].name = "head"
    with pytest.raises(InvalidModelError, match="no weights to quantize"):
        quantize_weights(model, exclude=("head",))
    result, changes = quantize_weights(model)
    assert len(changes) == 2
    assert "e" not in result.graph.initializers


@pytest.mark.parametrize(
    ("text", "arrays", "reason"),
    [
        ("y = Mul(x, w)", {"w": normal(64)}, None),
        ("y = MatMul(x, w)", {"w": normal(64, 2)[:, :1]}, "outweigh"),
        (
            "h = MatMul(x, w) s = ReduceSum <keepdims = 0> (w) y = Add(h, s)",
            {"w": normal(64, 64)},
            "ReduceSum reads it",
        ),
        ("y = Gather <axis = 1> (w, x)", {"w": normal(64, 64)}, "columns"),
    ],
)
def test_reasons_of_what_stays_in_float(text: str, arrays: dict[str, np.ndarray], reason: str | None) -> None:
    kind = "int64" if "Gather" in text else "float"
    model = build(f"m ({kind}[n, 64] x) => (float[n, k] y) {{ {text} }}", **arrays)
    found = candidates(working_copy(model).graph, WeightOnlySettings(bits=8, block_size=256))
    assert [r for r in found.values() if r] == [] if reason is None else reason in next(iter(found.values()))
    with pytest.raises(InvalidModelError, match="no weights"):
        quantize_weights(model, settings=WeightOnlySettings(bits=8, block_size=256))


def test_infinite_weights_are_refused_by_name() -> None:
    weight = normal(64, 64)
    weight[3, 4] = np.inf
    model = build("m (float[n, 64] x) => (float[n, 64] y) { y = MatMul(x, weight_7) }", weight_7=weight)
    with pytest.raises(InvalidModelError, match=r"weight_7.*exclude"):
        quantize_weights(model)


def test_zero_weights_stay_zero() -> None:
    weight = normal(64, 64)
    weight[:, 5], weight[32:, 6] = 0, 0
    model = build("m (float[n, 64] x) => (float[n, 64] y) { y = MatMul(x, w) }", w=weight)
    for method, bits in itertools.product(("rtn", "hqq"), (4, 8)):
        result, _ = quantize_weights(model, settings=WeightOnlySettings(method=method, bits=bits))
        got = run(result, {"x": np.eye(64, dtype=np.float32)})
        assert np.abs(got[:, 5]).max() < 1e-30
        assert np.abs(got[32:, 6]).max() < 1e-5


@pytest.mark.parametrize(
    "bad",
    [
        {"bits": 3},
        {"block_size": 48},
        {"format": "qoperator"},
        {"method": "awq"},
        {"damping": 0.0},
        {"accuracy_level": 2},
    ],
)
def test_settings_out_of_range(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(bad.values()))}"):
        WeightOnlySettings(**bad)


def test_gptq_needs_samples() -> None:
    model = build("m (float[n, 64] x) => (float[n, 64] y) { y = MatMul(x, w) }", w=normal(64, 64))
    with pytest.raises(UsageError, match="needs samples"):
        quantize_weights(model, settings=WeightOnlySettings(method="gptq"))
