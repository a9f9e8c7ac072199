"""Operators that move or pick elements: the integers that go in come out, with the same scale."""

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.quantize.ops.base import handlers, plain
from edgebig.quantize.unit import Facts, ScaleRule, Unit


@handlers.decorator("Reshape")
@handlers.decorator("Flatten")
@handlers.decorator("Transpose")
@handlers.decorator("Squeeze")
@handlers.decorator("Unsqueeze")
@handlers.decorator("Slice")
@handlers.decorator("Expand")
@handlers.decorator("Tile")
@handlers.decorator("Split")
@handlers.decorator("Gather")
def moving(node: ir.Node, facts: Facts) -> Unit | str:
    """The first input is the tensor."""
    if constant_array(node.inputs[0]) is not None:
        return "it picks from a constant" if node.op_type == "Gather" else "its tensor is constant"
    return plain(node, 0, scale=ScaleRule.INPUT)


@handlers.decorator("Resize")
def resize(node: ir.Node, facts: Facts) -> Unit | str:
    """Nearest neighbours only: other modes compute new values."""
    if node.attributes.get_string("mode", "nearest") != "nearest":
        return "it interpolates; only mode nearest keeps the integers"
    return plain(node, 0, scale=ScaleRule.INPUT)
