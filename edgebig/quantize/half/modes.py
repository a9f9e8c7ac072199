"""Which nodes compute in float16."""

from collections.abc import Collection

import onnx_ir as ir

from edgebig.graph.opset import MINIMUM_OPSET
from edgebig.quantize.half.extremes import extreme_nodes
from edgebig.quantize.half.float_ops import FLOAT_INPUTS, float_reason
from edgebig.quantize.weight_only.source import STANDARD

# Nodes that cost next to nothing, and so do not matter for speed.
_CHEAP = frozenset(
    {
        *("Add", "Sub", "Mul", "Div", "Neg", "Abs", "Relu", "Clip", "Min", "Max", "Where", "Cast", "Identity"),
        *("Reshape", "Transpose", "Unsqueeze", "Squeeze", "Expand", "Slice", "Concat", "Split", "Gather", "Flatten"),
        *("Sigmoid", "Tanh", "Erf", "Pad", "Tile", "ConstantOfShape"),
    }
)


def candidates(graph: ir.Graph) -> dict[ir.Node, str]:
    """Which nodes with float32 values can compute in float16.

    Args:
        graph: Of a working copy (see `edgebig.graph.edit.working_copy`) with the types of its values; subgraphs are
            looked at too.

    Returns:
        Node -> "" if it can, else the reason in words; nodes without float32 values are missing.
    """
    extremes = extreme_nodes(graph)
    opset = next((graph.opset_imports[domain] for domain in STANDARD if domain in graph.opset_imports), MINIMUM_OPSET)
    reasons: dict[ir.Node, str] = {}
    for node in ir.traversal.RecursiveGraphIterator(graph):
        values = [value for value in (*node.inputs, *node.outputs) if value is not None and value.name]
        if any(value.dtype is None for value in values):
            reasons[node] = "the type of its values is not known"
        elif any(value.dtype == ir.DataType.FLOAT for value in values):
            reasons[node] = float_reason(node, opset) or extremes.get(node, "")
    return reasons


def settle(chosen: Collection[ir.Node]) -> set[ir.Node]:
    """The nodes that become float16: those chosen, less cheap ones that only float32 nodes read.

    Those go on in float32 from where the numbers come: angles of a sine, scores with their mask. Cheap ones behind
    float32 nodes become float16, which moves the cast to where it is needed anyway.
    """
    half = set(chosen)
    changed = True
    while changed:
        alone = [node for node in half if node.op_type in _CHEAP and not _is_read_in_half(node, half)]
        half.difference_update(alone)
        changed = bool(alone)
    return half


def half_inputs(node: ir.Node) -> list[int]:
    """Inputs of a float16 node that are float16."""
    fixed = FLOAT_INPUTS.get(node.op_type, ())
    return [
        index
        for index, value in enumerate(node.inputs)
        if value is not None and value.dtype == ir.DataType.FLOAT and index not in fixed
    ]


def _is_read_in_half(node: ir.Node, half: set[ir.Node]) -> bool:
    """Whether a float16 node reads its results, or nothing does but the graph's border."""
    readers = [use for value in node.outputs if value.dtype == ir.DataType.FLOAT for use in value.uses()]
    return not readers or any(use.node in half for use in readers)
