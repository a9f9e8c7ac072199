"""What a model takes and gives."""

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.errors import InvalidModelError
from edgebig.graph.interface import input_specs, output_names


def test_inputs_with_defaults_are_left_out(build) -> None:
    text = """g (float16[batch, 3, 2] x, int64[batch] i, float[3] d) => (float16[batch, 3, 2] y, int64[batch] z) {
        y = Relu(x) z = Neg(i) }"""
    model = build(text, d=np.zeros(3, np.float32))
    x, i = input_specs(model)
    assert (x.name, x.dtype, x.shape) == ("x", np.dtype(np.float16), ("batch", 3, 2))
    assert str(i) == "i: int64 [batch]"
    assert output_names(model) == ("y", "z")


def test_unknown_axes_and_ranks(build) -> None:
    model = build("g (float[N, 3] x, string s) => (float[N, 3] y) { y = Relu(x) }")
    model.graph.inputs[0].shape = ir.Shape([None, 3])
    model.graph.inputs[1].shape = None
    x, s = input_specs(model)
    assert x.shape == (None, 3)
    assert (s.shape, s.dtype) == (None, np.dtype(object))


def test_other_than_tensors(build) -> None:
    model = build("g (seq(float[N]) x, int64 i) => (float[N] y) { y = SequenceAt(x, i) }")
    model.graph.inputs[0].type = None
    with pytest.raises(InvalidModelError, match="input 'x' has type None; only tensor inputs"):
        input_specs(model)
