"""LSTM in integers, GRU and RNN with integer weights; every input, attribute and layout of theirs."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edgebig.graph.session import Session
from edgebig.quantize.dynamic.folding import folded_array
from tests.quantize.build import build, count, executed, normal, sqnr_db
from tests.quantize.dynamic.build import dynamic, reasons

STEPS, BATCH, INPUTS, HIDDEN = 7, 3, 12, 16
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent(
    op_type: str, *, directions: int = 1, sources: str = "", layout: int = 0, **attributes: object
) -> ir.Model:
    """A model of one node. `sources`: of B, lens, h, c, P those that are given."""
    rows = GATES[op_type] * HIDDEN
    arrays = {
        "W": normal(directions, rows, INPUTS, scale=0.4, seed=1) * np.geomspace(0.1, 1, rows)[:, None].astype("f"),
        "R": normal(directions, rows, HIDDEN, scale=0.3, seed=2),
        "B": normal(directions, 2 * rows, scale=0.1, seed=3),
        "P": normal(directions, 3 * HIDDEN, scale=0.3, seed=4),
    }
    given = sources.split()
    wanted = ["B", "lens", "h", *(["c", "P"] if op_type == "LSTM" else [])]
    inputs = ["X", "W", "R", *(name if name in given else "" for name in wanted)]
    outputs = ["Y", "Yh", *(["Yc"] if op_type == "LSTM" else [])]
    state = (BATCH, directions, HIDDEN) if layout else (directions, BATCH, HIDDEN)
    shapes = {"X": (BATCH, STEPS, INPUTS) if layout else (STEPS, BATCH, INPUTS), "h": state, "c": state}
    infos = [
        onnx.helper.make_tensor_value_info(name, 1, shape) for name, shape in shapes.items() if name in ("X", *given)
    ]
    if "lens" in given:
        infos.append(onnx.helper.make_tensor_value_info("lens", onnx.TensorProto.INT32, (BATCH,)))
    direction = "bidirectional" if directions == 2 else attributes.pop("direction", "forward")
    node = onnx.helper.make_node(
        op_type,
        inputs,
        outputs,
        hidden_size=HIDDEN,
        direction=direction,
        **({"layout": 1} if layout else {}),
        **attributes,
    )
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items() if name in inputs]
    results = [onnx.helper.make_tensor_value_info(name, 1, None) for name in outputs]
    graph = onnx.helper.make_graph([node], "g", infos, results, tensors)
    opsets = [onnx.helper.make_opsetid("", 18)]
    return ir.from_proto(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9))


def feed_of(model: ir.Model, seed: int = 5) -> dict[str, NDArray]:
    feed = {}
    for value in model.graph.inputs:
        shape = tuple(int(size) for size in value.shape)
        known = np.array([STEPS, 2, 4], np.int32)
        feed[value.name] = known if value.name == "lens" else normal(*shape, scale=0.7, seed=seed)
    return feed


def results_of(model: ir.Model, feed: dict[str, NDArray]) -> dict[str, NDArray]:
    with Session(model, threads=1) as session:
        return session.run(feed)


def with_rounded_weights(model: ir.Model, result: ir.Model) -> ir.Model:
    """The float LSTM with the weights that the integer one has: nothing but activations is left to differ."""
    copy = model.clone()
    node = next(node for node in result.graph if node.op_type == "DynamicQuantizeLSTM")
    for name, at in (("W", 1), ("R", 2)):
        integers, scales = (node.inputs[i].const_value.numpy() for i in (at, 8 + 2 * (at - 1)))
        array = (integers * scales[:, None, :]).transpose(0, 2, 1).astype(np.float32)
        copy.graph.initializers[name].const_value = ir.tensor(array, name=name)
    return copy


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize(
    ("sources", "attributes"),
    [
        ("", {}),
        ("B h c", {}),
        ("B lens h c P", {}),
        ("lens", {}),
        ("B P", {"clip": 0.5}),
        ("B", {"input_forget": 1}),
        ("B h", {"activations": ["HardSigmoid", "Relu", "Tanh"], "activation_alpha": [0.3], "activation_beta": [0.4]}),
    ],
)
def test_lstm(directions: int, sources: str, attributes: dict[str, object]) -> None:
    if "activations" in attributes:
        attributes = attributes | {"activations": attributes["activations"] * directions}  # type: ignore[operator]
        attributes |= {name: attributes[name] * directions for name in ("activation_alpha", "activation_beta")}  # type: ignore[operator]
    model = recurrent("LSTM", directions=directions, sources=sources, **attributes)
    feed = feed_of(model)
    result, changes = dynamic(model)
    onnx.checker.check_model(ir.to_proto(result))
    reference, changed = results_of(model, feed), results_of(result, feed)
    rounded = results_of(with_rounded_weights(model, result), feed)
    for name in ("Y", "Yh", "Yc"):
        assert sqnr_db(reference[name], changed[name]) > 30
        # A sequence's end is where it is: what is padded stays exactly zero.
        assert np.array_equal(reference[name] == 0, changed[name] == 0) or "activations" in attributes
        assert sqnr_db(rounded[name], changed[name]) > 33
    assert changes[0].weights == directions * 4 * HIDDEN * (INPUTS + HIDDEN)
    assert changes[0].bytes_after < changes[0].bytes_before / 2.5
    assert changes[0].weight_error is not None and changes[0].weight_error < 1e-3
    assert [node.op_type for node in result.graph] == ["DynamicQuantizeLSTM"]


@pytest.mark.parametrize("directions", [1, 2])
def test_lstm_with_the_batch_first(directions: int) -> None:
    """onnxruntime runs the integer form of it, and not the float one: that is run with the sequence first."""
    model = recurrent("LSTM", directions=directions, sources="B h c", layout=1)
    twin = recurrent("LSTM", directions=directions, sources="B h c")
    feed = feed_of(model)
    swapped = {name: array.swapaxes(0, 1).copy() for name, array in feed.items()}
    reference = results_of(twin, swapped)
    changed = results_of(dynamic(model)[0], feed)
    assert changed["Y"].shape == (BATCH, STEPS, directions, HIDDEN)
    assert sqnr_db(reference["Y"].transpose(2, 0, 1, 3), changed["Y"]) > 30
    for name in ("Yh", "Yc"):
        assert sqnr_db(reference[name].swapaxes(0, 1), changed[name]) > 30


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("linear_before_reset", [0, 1])
def test_gru_keeps_its_results_and_gets_small(direction: str, linear_before_reset: int, tmp_path: Path) -> None:
    directions = 2 if direction == "bidirectional" else 1
    options = {} if directions == 2 else {"direction": direction}
    model = recurrent(
        "GRU", directions=directions, sources="B lens h", linear_before_reset=linear_before_reset, **options
    )
    feed = feed_of(model)
    result, changes = dynamic(model)
    reference, changed = results_of(model, feed), results_of(result, feed)
    assert min(sqnr_db(reference[name], changed[name]) for name in ("Y", "Yh")) > 38
    assert count(result, "DequantizeLinear") == 2
    assert changes[0].bytes_after < changes[0].bytes_before / 2.5
    assert "not faster" in changes[0].how
    executed(result, str(tmp_path / "q.onnx"))


@pytest.mark.parametrize("linear_before_reset", [0, 1])
@pytest.mark.parametrize("bias", ["", "B"])
def test_a_large_gru_of_one_step_runs_in_integers(linear_before_reset: int, bias: str, tmp_path: Path) -> None:
    hidden, inputs, batch = 384, 24, 2
    tensors = {"W": normal(1, 3 * hidden, inputs, scale=0.3), "R": normal(1, 3 * hidden, hidden, scale=0.05, seed=1)}
    tensors |= {"B": normal(1, 6 * hidden, scale=0.2, seed=2)} if bias else {}
    text = f"""g (float[1, {batch}, {inputs}] x, float[1, {batch}, {hidden}] h)
        => (float[1, 1, {batch}, {hidden}] y, float[1, {batch}, {hidden}] s) {{
        y, s = GRU<hidden_size = {hidden}, linear_before_reset = {linear_before_reset}>(x, W, R, {bias}, , h) }}"""
    model = build(text, **tensors)
    feed = {"x": normal(1, batch, inputs, seed=3), "h": normal(1, batch, hidden, scale=0.5, seed=4)}
    result, changes = dynamic(model)
    onnx.checker.check_model(ir.to_proto(result))
    reference, changed = results_of(model, feed), results_of(result, feed)
    assert {name: array.shape for name, array in reference.items()} == {
        name: array.shape for name, array in changed.items()
    }
    assert min(sqnr_db(reference[name], changed[name]) for name in ("y", "s")) > 33
    assert changes[0].weights == 3 * hidden * (inputs + hidden)
    assert {"GRU", "MatMul"}.isdisjoint(executed(result, str(tmp_path / "q.onnx")))


def test_rnn() -> None:
    model = recurrent("RNN", sources="B h")
    feed = feed_of(model)
    assert sqnr_db(results_of(model, feed)["Y"], results_of(dynamic(model)[0], feed)["Y"]) > 38


def test_weights_that_the_exporter_slices_and_joins_are_constant() -> None:
    text = """g (float[5, 2, 4] x) => (float[5, 1, 2, 3] y) {
        i = Slice(w, zero, three, zero) o = Slice(w, nine, twelve, zero) fc = Slice(w, three, nine, zero)
        j = Concat<axis = 0>(i, o, fc) W = Unsqueeze(j, zero) t = Transpose(r) R = Unsqueeze(t, zero)
        y = LSTM<hidden_size = 3>(x, W, R) }"""
    w, r = normal(12, 4, scale=0.5), normal(3, 12, scale=0.5)
    numbers = {"zero": 0, "three": 3, "nine": 9, "twelve": 12}
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> {text}')
    arrays = {"w": w, "r": r, **{name: np.array([number], np.int64) for name, number in numbers.items()}}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in arrays.items())
    model = ir.from_proto(proto)
    lstm = next(node for node in model.graph if node.op_type == "LSTM")
    expected = np.concatenate([w[:3], w[9:12], w[3:9]])[None]
    assert np.array_equal(folded_array(lstm.inputs[1], 18), expected)
    feed = {"x": normal(5, 2, 4)}
    result, _ = dynamic(model)
    assert [node.op_type for node in result.graph] == ["DynamicQuantizeLSTM"]
    assert sqnr_db(results_of(model, feed)["y"], results_of(result, feed)["y"]) > 30


def test_weights_that_are_not_constant_are_left() -> None:
    text = """g (float[5, 2, 4] x, float[1, 12, 4] W) => (float[5, 1, 2, 3] y) { y = LSTM<hidden_size = 3>(x, W, R) }"""
    proto = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> {text}')
    proto.graph.initializer.append(onnx.numpy_helper.from_array(normal(1, 12, 3), "R"))
    _, found = reasons(ir.from_proto(proto))
    assert list(found.values()) == ["its weight W is not constant"]


@pytest.mark.slow
def test_the_lstm_of_the_fashion_models(shared: Path) -> None:
    """onnxruntime's own dynamic quantization: 49.1 dB where nothing saturates, 27 dB without VNNI."""
    folder = shared / "models" / "fashion"
    model = ir.load(folder / "lstm.onnx")
    result, changes = dynamic(model)
    feed = {"x": np.load(folder / "calib512.npz")["x"][:128]}
    reference, changed = results_of(model, feed)["y"], results_of(result, feed)["y"]
    assert np.mean([sqnr_db(a, b) for a, b in zip(reference, changed, strict=True)]) > 51
    assert [change.op_type for change in changes] == ["LSTM", "LSTM"]
