"""Ask onnxruntime what a node does with given numbers."""

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.dependencies import require
from edgebig.graph.edit import constant_array
from edgebig.runtime.lower.refusal import Refusal


def run_alone(node: ir.Node, values: NDArray) -> NDArray:
    """What onnxruntime gives for a node whose first input is `values` and whose others are constants.

    Args:
        node: The node; one output is asked for.
        values: float32.

    Returns:
        float32.

    Raises:
        Refusal: Another input is not constant.
    """
    ort = require("onnxruntime", extra="cpu", purpose="edgebig.runtime")
    proto = ir.to_proto(node)
    del proto.input[:]
    del proto.output[:]
    proto.input.append("x")
    proto.output.append("y")
    initializers = []
    for i, value in enumerate(node.inputs[1:], 1):
        array = constant_array(value)
        if value is not None and array is None:
            raise Refusal(f"its input {value.name!r} is not constant")
        proto.input.append("" if array is None else f"c{i}")
        if array is not None:
            initializers.append(onnx.numpy_helper.from_array(array, f"c{i}"))
    shapes = {"x": list(values.shape), "y": None}
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = onnx.helper.make_graph([proto], "alone", ports[:1], ports[1:], initializers)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, opset_of(node))])
    model.ir_version = min(model.ir_version, 10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": values.astype(np.float32)})[0])


def opset_of(node: ir.Node) -> int:
    """The version of its operator set that a node is written in."""
    if node.version:
        return node.version
    return node.graph.opset_imports.get(node.domain, 21) if isinstance(node.graph, ir.Graph) else 21
