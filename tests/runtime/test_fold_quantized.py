"""Constants quantized in the graph: folded to what onnxruntime makes of them, so that kernels see weights."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edgebig.runtime import Cache
from edgebig.runtime.fold_quantized import fold_quantized_constants
from tests.runtime.nets import ours, steps_of, stock


def model(constant_node: bool, points: np.ndarray, scales: np.ndarray, axis: int) -> bytes:
    """MatMul of a quantized input and of weights that the graph quantizes itself."""
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.5, (16, 12)).astype(np.float32)
    weights[0, :4] = [0.025, -0.035, 99, -99]  # halves and saturation
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("QuantizeLinear", ["w", "ws", "wz"], ["wq"], axis=axis),
        helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["wd"], axis=axis),
        helper.make_node("MatMul", ["xd", "wd"], ["m"]),
        helper.make_node("QuantizeLinear", ["m", "ys", "xz"], ["y"]),
    ]
    arrays = {"xs": np.float32(0.03), "xz": np.uint8(120), "ws": scales, "wz": points, "ys": np.float32(0.1)}
    if constant_node:
        nodes.insert(0, helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weights)))
    else:
        arrays["w"] = weights
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [4, 16])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, [4, 12])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())


CASES = [
    (np.int8(0), np.float32(0.01), 1),
    (np.uint8(130), np.float32(0.01), 1),
    (np.zeros(12, np.int8), np.linspace(0.01, 0.02, 12, dtype=np.float32), 1),
]


@pytest.mark.parametrize("constant_node", [True, False])
@pytest.mark.parametrize(("points", "scales", "axis"), CASES)
def test_weights_quantized_in_the_graph_run_as_integers(constant_node, points, scales, axis, cache: Cache) -> None:
    content = model(constant_node, points, scales, axis)
    feed = {"x": np.random.default_rng(1).normal(0, 1, (4, 16)).astype(np.float32)}
    (got,), session = ours(content, feed, cache)
    assert steps_of(session) == ["Quantize", "Conv"]
    (expected,) = stock(content, feed, rewrite=False)
    assert np.abs(got.astype(int) - expected).max() <= 1
    assert (got != expected).mean() < 0.05


@pytest.mark.parametrize(("points", "scales", "axis"), CASES)
def test_the_constants_are_onnxruntimes(points, scales, axis) -> None:
    content = onnx.ModelProto.FromString(model(True, points, scales, axis))
    content.graph.output.append(helper.make_tensor_value_info("wq", (points.dtype == np.int8 and 3) or 2, [16, 12]))
    (_, expected) = stock(content.SerializeToString(), {"x": np.zeros((4, 16), np.float32)})
    del content.graph.output[1]
    made = ir.from_proto(content)
    assert fold_quantized_constants(made.graph) == 1
    np.testing.assert_array_equal(made.graph.initializers["wq_folded"].const_value.numpy(), expected)
    assert sum(node.op_type == "QuantizeLinear" for node in made.graph) == 2
    assert fold_quantized_constants(made.graph) == 0


def test_what_is_not_known_stays() -> None:
    wide = onnx.ModelProto.FromString(model(False, *CASES[0]))
    wide.graph.output.append(helper.make_tensor_value_info("wq", onnx.TensorProto.INT8, [16, 12]))
    assert fold_quantized_constants(ir.from_proto(wide).graph) == 0  # an output of the model
    bad = onnx.ModelProto.FromString(model(False, *CASES[0]))
    array = np.full((16, 12), np.nan, np.float32)
    next(t for t in bad.graph.initializer if t.name == "w").CopyFrom(numpy_helper.from_array(array, "w"))
    assert fold_quantized_constants(ir.from_proto(bad).graph) == 0
