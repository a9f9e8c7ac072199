"""LayerNormalization written out: (x - mean) / sqrt(variance + epsilon) * gamma + beta. onnxruntime fuses it.

A pair of QuantizeLinear and DequantizeLinear before the factor or the offset would break it up.
"""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.graph.edit import constant_array

PART_OF_NORMALIZATION = (
    "part of a layer normalisation, which runtimes fuse to one operator, and which loses much in 8 bits"
)


def layer_norm_nodes(graph: ir.Graph) -> set[ir.Node]:
    """The Add and Mul nodes of a graph that belong to such normalisations."""
    found: set[ir.Node] = set()
    for node in graph:
        if node.op_type == "Sqrt":
            found.update(_members(node))
    return found


def _members(root: ir.Node) -> Iterator[ir.Node]:
    variance = root.inputs[0].producer() if root.inputs[0] is not None else None
    if variance is None or variance.op_type != "Add":
        return
    squares = [value.producer() for value in variance.inputs if value is not None]
    if not any(node is not None and node.op_type == "ReduceMean" for node in squares):
        return
    yield variance
    for quotient in _readers(root, "Div"):
        for scaled in _by_constant(quotient, "Mul"):
            yield scaled
            yield from _by_constant(scaled, "Add")


def _by_constant(node: ir.Node, op_type: str) -> list[ir.Node]:
    return [
        reader
        for reader in _readers(node, op_type)
        if any(constant_array(value) is not None for value in reader.inputs)
    ]


def _readers(node: ir.Node, op_type: str) -> list[ir.Node]:
    return [use.node for use in node.outputs[0].uses() if use.node.op_type == op_type]
