"""The small edits that verbs share."""

import numpy as np
import onnx_ir as ir
import pytest

from edgebig.graph.edit import (
    add_initializer,
    constant_array,
    copy_to_write,
    expose_outputs,
    set_array,
    value_names,
    working_copy,
)
from edgebig.graph.session import Session

TEXT = """g (float[N, 2] x, float[2] d) => (float[N, 2] y) {
    k = Constant<value_floats = [1.0, 2.0]>() a = Add(x, k) b = Mul(a, w) y = Add(b, d) }"""


@pytest.fixture
def model(build) -> ir.Model:
    return build(TEXT, w=np.float32([3, 4]), d=np.float32([0, 0]))


def test_a_working_copy_lifts_constants_and_leaves_the_original(model) -> None:
    model.meta["note"] = 1
    copy = working_copy(model)
    assert [node.op_type for node in copy.graph] == ["Add", "Mul", "Add"]
    assert model.graph.node(0).op_type == "Constant"
    assert copy.meta["note"] == 1
    set_array(copy.graph.initializers["w"], np.float32([9, 9]))
    np.testing.assert_array_equal(model.graph.initializers["w"].const_value.numpy(), [3, 4])


def test_constant_array(model) -> None:
    nodes = list(model.graph)
    np.testing.assert_array_equal(constant_array(nodes[0].outputs[0]), [1, 2])  # a Constant node's output
    np.testing.assert_array_equal(constant_array(nodes[2].inputs[1]), [3, 4])  # an initializer
    assert constant_array(model.graph.inputs[0]) is None
    assert constant_array(model.graph.inputs[1]) is None  # a default that a caller may override
    assert constant_array(nodes[1].outputs[0]) is None
    assert constant_array(None) is None


def test_a_new_initializer_gets_a_free_name(model) -> None:
    first = add_initializer(model.graph, "w", np.float32([5]))
    second = add_initializer(model.graph, "w", np.float32([6]))
    fresh = add_initializer(model.graph, "fresh", np.int64([[1, 2]]))
    assert (first.name, second.name, fresh.name) == ("w_1", "w_2", "fresh")
    assert fresh.dtype == ir.DataType.INT64
    assert list(fresh.shape) == [1, 2]
    assert {"x", "d", "w", "w_1", "w_2", "fresh", "a", "b", "y", "k"} == value_names(model.graph)


def test_set_array_changes_shape_and_dtype(model) -> None:
    value = model.graph.initializers["w"]
    set_array(value, np.zeros((2, 2), np.float16))
    assert value.dtype == ir.DataType.FLOAT16
    assert list(value.shape) == [2, 2]


def test_expose_outputs_gives_intermediate_values(model) -> None:
    exposed = expose_outputs(model, ["a", "x", "y"])
    result = Session(exposed).run({"x": np.float32([[10, 20]])})
    np.testing.assert_array_equal(result["a"], [[11, 22]])
    np.testing.assert_array_equal(result["x"], [[10, 20]])
    assert [value.name for value in model.graph.outputs] == ["y"]


def test_copy_to_write_drops_notes_of_initializers_only(model) -> None:
    copy = copy_to_write(working_copy(model))
    assert copy.graph.initializers["w"].shape is None
    assert copy.graph.initializers["d"].shape is not None  # an input declares its shape
