"""Edits that the folding passes share."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import add_initializer, set_array


def remove_node(node: ir.Node, replacement: ir.Value) -> None:
    """Take a node with one output out of its graph; `replacement` takes the output's place, and its name if needed.

    Args:
        node: The node.
        replacement: A value of the same graph, shape and dtype that a node computes.
    """
    graph, output = node.graph, node.outputs[0]
    if graph is None:
        raise ValueError(f"node {node.name!r} is in no graph")
    is_output = output.is_graph_output()
    ir.convenience.replace_all_uses_with(output, replacement, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    if is_output:
        name, output.name = output.name, f"{output.name}_removed"
        replacement.name = name
    if replacement.shape is None:
        replacement.shape = output.shape


def is_private(value: ir.Value) -> bool:
    """Whether one node reads the value, and nothing else does."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def rounded(array: NDArray[np.float64], dtype: np.dtype) -> NDArray | None:
    """The array in another float dtype, or None where values overflow it."""
    with np.errstate(over="ignore"):
        result = array.astype(dtype)
    return result if np.isfinite(result.astype(np.float64)).all() else None


def replace_constant(node: ir.Node, index: int, array: NDArray, *, name: str) -> None:
    """Give a node another constant at an input, changing the initializer in place where nobody else reads it."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is not None and value.is_initializer() and is_private(value) and not value.is_graph_input():
        set_array(value, array)
        return
    if node.graph is None:
        raise ValueError(f"node {node.name!r} is in no graph")
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, add_initializer(node.graph, name, array))
