"""Operators without rules of their own, on targets that run whole graphs in integers.

There every float tensor needs a pair, or the operator leaves the accelerator.
"""

import onnx_ir as ir

from edgebig.quantize.ops.base import plain
from edgebig.quantize.unit import Facts, Unit

# Their other inputs are numbers that the operator is built with.
FIRST_INPUT_ONLY = frozenset({"Pad", "Clip", "Resize", "Upsample", "Tile", "Expand", "Dropout"})


def generic(node: ir.Node, facts: Facts) -> Unit | str:
    """A pair for every float input and output."""
    inputs = [
        index
        for index, value in enumerate(node.inputs)
        if value is not None
        and value.dtype == ir.DataType.FLOAT
        and (index == 0 or node.op_type not in FIRST_INPUT_ONLY)
    ]
    if not inputs:
        return "none of its inputs is float"
    return plain(node, *inputs)
