"""Nodes that change nothing: x + 0, x - 0, x * 1, x / 1, x ** 1, Pad by nothing, Concat, Sum, Max, Min, Mean of one.

onnxscript has such rules too, but takes a constant below 1e-8 for zero and one within 1e-5 for one; the 1e-10 that
keeps a logarithm finite then goes missing, which changes results (seen: 0.4 % of the output's scale).
"""

from collections import Counter

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.passes.base import Pass, PassResult

# The operand that changes nothing, and whether it may stand on the left too.
NEUTRAL: dict[str, tuple[float, bool]] = {
    "Add": (0.0, True),
    "Sub": (0.0, False),
    "Mul": (1.0, True),
    "Div": (1.0, False),
    "Pow": (1.0, False),
}
SINGLE_INPUT_OPS = ("Concat", "Sum", "Max", "Min", "Mean")


class EliminateNoops(Pass):
    """Turn nodes that change nothing into Identity, for another pass to take out."""

    def call(self, model: ir.Model) -> PassResult:
        """Look at every node of every graph."""
        counts: Counter[str] = Counter()
        for graph in model.graphs():
            for node in graph:
                data = _passes_through(node)
                if data is None:
                    continue
                counts[node.op_type] += 1
                identity = ir.node("Identity", [data], name=node.name)
                result, output = identity.outputs[0], node.outputs[0]
                result.name, result.type, result.shape = output.name, output.type, output.shape
                ir.convenience.replace_nodes_and_values(graph, node, [node], [identity], [output], [result])
        return PassResult(model, bool(counts), counts)


def _passes_through(node: ir.Node) -> ir.Value | None:
    """The input that the node hands on as it is; None where it does something."""
    if node.domain not in ("", "ai.onnx") or not node.inputs or node.inputs[0] is None:
        return None
    if node.op_type in SINGLE_INPUT_OPS:
        return node.inputs[0] if len(node.inputs) == 1 else None
    if node.op_type == "Pad":
        pads = constant_array(node.inputs[1]) if len(node.inputs) > 1 else None
        return node.inputs[0] if pads is not None and not pads.any() else None
    if node.op_type not in NEUTRAL or len(node.inputs) != 2:
        return None
    neutral, commutes = NEUTRAL[node.op_type]
    for data, operand in (node.inputs, tuple(reversed(node.inputs))):
        array = constant_array(operand)
        if array is not None and (array == neutral).all() and data is not None and not _broadcasts(data, array):
            return data
        if not commutes:
            return None
    return None


def _broadcasts(data: ir.Value, array: NDArray) -> bool:
    """Whether the constant would, or might, make the result larger than the data."""
    if array.ndim == 0:
        return False
    if data.shape is None or len(data.shape) < array.ndim:
        return True
    sizes = list(data.shape)[len(data.shape) - array.ndim :]
    return any(mine != 1 and mine != size for mine, size in zip(np.shape(array), sizes, strict=True))
