"""A model for given shapes: shapes known everywhere, shape arithmetic folded, nothing else changed."""

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.errors import InvalidModelError
from edgebig.graph.session import Session
from edgebig.graph.shapes import static_shape
from edgebig.runtime.specialise import dynamic_inputs, specialise

TEXT = """
<ir_version: 10, opset_import: ["" : 21]>
agraph (float[batch, length, 12] x, float[12, 12] w) => (float[batch, 3, length, 4] y) {
    a = MatMul (x, w)
    first = Shape <start = 0, end = 1> (a)
    second = Shape <start = 1, end = 2> (a)
    rest = Constant <value = int64[2] {3, 4}> ()
    shape = Concat <axis = 0> (first, second, rest)
    b = Reshape (a, shape)
    y = Transpose <perm = [0, 2, 1, 3]> (b)
}
"""


def model() -> ir.Model:
    made = ir.from_onnx_text(TEXT)
    weights = made.graph.inputs[1]
    weights.const_value = ir.tensor(np.random.default_rng(0).normal(size=(12, 12)).astype(np.float32), name="w")
    made.graph.register_initializer(weights)
    del made.graph.inputs[1]
    return made


def test_shapes_are_folded_and_known() -> None:
    original = model()
    assert dynamic_inputs(original) == ("x",)
    special = specialise(original, {"x": (2, 5, 12)})
    assert [node.op_type for node in special.graph] == ["MatMul", "Reshape", "Transpose"]
    assert static_shape(special.graph.outputs[0]) == (2, 3, 5, 4)
    assert len(list(original.graph)) == 7  # the original stays


def test_the_answers_stay() -> None:
    original = model()
    x = np.random.default_rng(1).normal(size=(2, 5, 12)).astype(np.float32)
    expected = Session(original).run({"x": x})["y"]
    got = Session(specialise(original, {"x": x.shape})).run({"x": x})["y"]
    np.testing.assert_array_equal(got, expected)


def test_a_shape_that_contradicts_the_model_is_refused() -> None:
    with pytest.raises(InvalidModelError, match=r"input 'x' of shape .* was given \[2, 5, 13\]"):
        specialise(model(), {"x": (2, 5, 13)})


def test_quantization_of_constants_is_not_folded() -> None:
    made = ir.from_onnx_text("""
<ir_version: 10, opset_import: ["" : 21]>
agraph (float[2] x) => (float[2] y) {
    q = Constant <value = int8[2] {1, 2}> ()
    s = Constant <value = float {0.5}> ()
    d = DequantizeLinear (q, s)
    y = Add (x, d)
}""")
    assert [node.op_type for node in specialise(made, {}).graph] == ["DequantizeLinear", "Add"]
