"""One form for what can be written in several, before anything is decided: less for every scheme to know."""

import numpy as np
import onnx_ir as ir

from edgebig.graph.edit import add_initializer, constant_array
from edgebig.graph.weights import as_weighted

SMALL_FLOATS = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def normalize(model: ir.Model) -> None:
    """Take out Identity nodes, and fold the factors of Gemm and casts of constants into the constants, in place.

    An Identity between a convolution and what follows would keep quantization from seeing them as neighbours. Names of
    the model's inputs and outputs stay.

    Args:
        model: A working copy: its constants are initializers.
    """
    for node in list(model.graph):
        if node.domain not in ("", "ai.onnx"):
            continue
        if node.op_type == "Gemm":
            _fold_factors(node, model.graph)
        elif node.op_type == "Identity":
            _take_out(node, model.graph)
        elif node.op_type == "Cast":
            _cast(node, model.graph)


def _take_out(node: ir.Node, graph: ir.Graph) -> None:
    """Hand an Identity's input to its readers, where neither is an output and so has to stay under its name."""
    value, output = node.inputs[0], node.outputs[0]
    if value is not None and not output.is_graph_output():
        ir.convenience.replace_all_uses_with(output, value)
        graph.remove(node, safe=True)


def _cast(node: ir.Node, graph: ir.Graph) -> None:
    """Let a constant that is cast to float32 be float32; it is cast when somebody reads it: large ones cost nothing."""
    value, output = node.inputs[0], node.outputs[0]
    tensor = None if value is None or value.is_graph_input() else value.const_value
    if tensor is None or tensor.dtype not in SMALL_FLOATS or output.is_graph_output():
        return
    if node.attributes.get_int("to", 0) != ir.DataType.FLOAT:
        return
    name, shape = output.name, ir.Shape(tensor.shape.numpy())

    def cast() -> ir.Tensor:
        return ir.Tensor(np.asarray(tensor.numpy()).astype(np.float32), name=name)

    constant = ir.LazyTensor(cast, dtype=ir.DataType.FLOAT, shape=shape, name=name)
    ir.convenience.replace_all_uses_with(output, replacement := ir.Value(name=name, const_value=constant))
    replacement.shape, replacement.type = shape, ir.TensorType(ir.DataType.FLOAT)
    graph.remove(node, safe=True)
    graph.register_initializer(replacement)


def _fold_factors(node: ir.Node, graph: ir.Graph) -> None:
    """Gemm(x, w, b) = alpha * x @ w + beta * b, with alpha and beta folded into constant w and b."""
    weighted = as_weighted(node)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    alpha, beta = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
    array = constant_array(bias)
    if weighted is None or (bias is not None and beta != 1.0 and array is None):
        return
    if alpha != 1.0:
        scaled = (weighted.array() * np.float32(alpha)).astype(weighted.array().dtype)
        node.replace_input_with(1, add_initializer(graph, f"{weighted.weight.name}_scaled", scaled))
    if array is not None and bias is not None and beta != 1.0:
        name = f"{bias.name}_scaled"
        node.replace_input_with(2, add_initializer(graph, name, (array * np.float32(beta)).astype(array.dtype)))
    node.attributes.pop("alpha", None)
    node.attributes.pop("beta", None)
