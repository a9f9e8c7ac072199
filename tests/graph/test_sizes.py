"""Sizes for dynamic axes, and the shapes that follow."""

import numpy as np
import pytest

from edgebig.errors import UsageError
from edgebig.graph.shapes import static_shape
from edgebig.graph.sizes import dynamic_axes, with_sizes

TEXT = """g (float[batch, time, 6] x, float[batch, 4] z) => (float[batch, M] y, float[batch, K] v) {
    s = Shape(x) t = Gather(s, one) u = Mul(t, six) m = Concat<axis = 0>(minus, u) y = Reshape(x, m) v = Relu(z) }"""
NUMBERS = {"one": np.array([1]), "six": np.array([6]), "minus": np.array([-1])}


def test_named_axes_get_their_size_everywhere(build) -> None:
    sized, used, reason = with_sizes(build(TEXT, **NUMBERS), {"time": 5}, default=2)
    assert (used, reason) == ({"batch": 2, "time": 5}, None)
    values = {value.name: static_shape(value) for node in sized.graph for value in node.outputs}
    assert values["y"] == (2, 30)
    assert values["v"] == (2, 4)


def test_the_model_itself_stays(build) -> None:
    model = build(TEXT, **NUMBERS)
    with_sizes(model, {}, default=1)
    assert str(model.graph.inputs[0].shape) == "[batch,time,6]"
    assert len(model.graph) == 6


def test_axes_without_a_name(build) -> None:
    model = build("g (float[N, 4] x) => (float[N, 4] y) { y = Relu(x) }")
    from onnx_ir import Shape

    model.graph.inputs[0].shape = Shape([None, 4])
    assert list(dynamic_axes(model)) == ["x:0"]
    sized, used, _ = with_sizes(model, {"x:0": 7}, default=1)
    assert used == {"x:0": 7}
    assert static_shape(sized.graph.node(0).outputs[0]) == (7, 4)


def test_padding_that_is_computed_from_shapes(build) -> None:
    """As torch writes it: ConstantOfShape in the chain, which neither onnx nor onnxscript follows by itself."""
    text = """g (float[batch, time] x) => (float[A, B] y) {
        zeros = ConstantOfShape<value = int64[1] {0}>(three) s = Shape(x) r = Gather(s, one) h = Div(r, two)
        p = Concat<axis = 0>(zeros, h) y = Pad(x, p) }"""
    model = build(text, one=np.array([1]), two=np.array([2]), three=np.array([3]))
    sized, _, _ = with_sizes(model, {"batch": 1, "time": 8}, default=1)
    assert static_shape(sized.graph.node(-1).outputs[0]) == (1, 12)


def test_an_unknown_axis_is_refused_with_the_known_ones(build) -> None:
    with pytest.raises(UsageError, match=r"no dynamic axis 'tim'\. Its dynamic axes: batch, time"):
        with_sizes(build(TEXT, **NUMBERS), {"tim": 5}, default=1)
