"""Arrays of values that are constant once the graph is folded.

Exporters store recurrent weights in their framework's layout and slice, join and reshape them in the graph; nested
branches hold them in Constant nodes. Only operators that move numbers are looked through, so nothing large arises.
"""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from edgebig.graph.edit import constant_array

MOVING = frozenset(
    {
        *("Concat", "Slice", "Unsqueeze", "Squeeze", "Transpose", "Reshape", "Identity", "Cast", "Split", "Gather"),
        *("Flatten", "Expand", "Shape"),
    }
)
_DEEPEST = 32


def folded_array(value: ir.Value | None, opset: int, depth: int = _DEEPEST) -> NDArray | None:
    """The array of a value that depends on constants alone; None where it does not, or is computed otherwise.

    Args:
        value: A value of a graph or of one of its subgraphs.
        opset: Version of the standard operator set.
        depth: How many operators may lie between it and the constants.
    """
    known = constant_array(value)
    if known is not None or value is None:
        return known
    node = value.producer()
    if node is None or node.domain not in ("", "ai.onnx") or node.op_type not in MOVING or depth == 0:
        return None
    feed: dict[str, Any] = {}
    for operand in node.inputs:
        if operand is None:
            continue
        array = folded_array(operand, opset, depth - 1)
        if array is None:
            return None
        feed[operand.name or ""] = array
    proto = ir.serde.serialize_node(node)
    evaluator = ReferenceEvaluator(proto, opsets={"": opset})
    (result,) = evaluator.run([value.name], feed)
    return np.asarray(result)
