"""Shape inference: what it finds, what it keeps, and that it says when it fails."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgebig.graph.shapes import infer_shapes, static_shape

TEXT = """g (float[batch, 3, 8, 8] x) => (float[batch, K] y) {
    c = Conv(x, w) r = Relu(c) f = Flatten(r) y = MatMul(f, v) }"""


def weights() -> dict[str, np.ndarray]:
    return {"w": np.zeros((4, 3, 3, 3), np.float32), "v": np.zeros((144, 500), np.float32)}


def shapes(model: ir.Model) -> dict[str, str]:
    return {value.name: str(value.shape) for graph in model.graphs() for node in graph for value in node.outputs}


def test_shapes_are_found_and_names_of_axes_stay(build) -> None:
    model = build(TEXT, **weights())
    assert infer_shapes(model) is None
    assert shapes(model) == {"c": "[batch,4,6,6]", "r": "[batch,4,6,6]", "f": "[batch,144]", "y": "[batch,500]"}
    assert {value.dtype for node in model.graph for value in node.outputs} == {ir.DataType.FLOAT}


def test_weights_stay_where_they_are(build) -> None:
    model = build(TEXT, **weights())
    before = {name: id(value.const_value) for name, value in model.graph.initializers.items()}
    infer_shapes(model)
    assert {name: id(value.const_value) for name, value in model.graph.initializers.items()} == before
    assert [value.name for value in model.graph.inputs] == ["x"]


def test_shapes_inside_branches(build) -> None:
    text = """g (float[N, 4] x, bool q) => (float[N, M] y) { y = If(q) <
        then_branch = t () => (float[A, B] p) { c = MatMul(x, w) p = Relu(c) },
        else_branch = e () => (float[C, D] n) { n = MatMul(x, w) } > }"""
    model = build(text, w=np.zeros((4, 7), np.float32))
    assert infer_shapes(model) is None
    assert shapes(model)["c"] == "[N,7]"


@pytest.mark.parametrize("place", ["value_info", "output"])
def test_declarations_that_are_wrong_are_overruled(build, place: str) -> None:
    model = build(TEXT, **weights())
    value = model.graph.outputs[0] if place == "output" else model.graph.node(1).outputs[0]
    value.shape = ir.Shape(["batch", 77] if place == "output" else ["batch", 4, 99, 99])
    value.type = ir.TensorType(ir.DataType.FLOAT)
    assert infer_shapes(model) is None
    assert shapes(model)["f"] == "[batch,144]"


def test_declarations_help_where_an_operator_is_unknown(build) -> None:
    text = "g (float[N, 4] x) => (float[N, M] y) <float[N, 4] c> { c = com.example.Magic(x) y = MatMul(c, w) }"
    model = build(text, domains=', "com.example": 1', w=np.zeros((4, 7), np.float32))
    assert infer_shapes(model) is None
    assert shapes(model) == {"c": "[N,4]", "y": "[N,7]"}


def test_failure_is_reported_and_changes_nothing(build, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no inference today\nat all")

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", fail)
    model = build(TEXT, **weights())
    assert infer_shapes(model) == "no inference today"
    assert shapes(model)["c"] == "None"


def test_static_shape(build) -> None:
    model = build(TEXT, **weights())
    infer_shapes(model)
    assert static_shape(model.graph.node(0).outputs[0]) is None
    assert static_shape(model.graph.initializers["w"]) == (4, 3, 3, 3)
    assert static_shape(None) is None
