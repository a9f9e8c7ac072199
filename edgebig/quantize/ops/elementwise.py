"""Add, Mul, Concat, and the functions onnxruntime looks up in a table: Sigmoid, LeakyRelu."""

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.quantize.ops.base import handlers, plain
from edgebig.quantize.unit import Facts, Unit


@handlers.decorator("Add")
@handlers.decorator("Mul")
def binary(node: ir.Node, facts: Facts) -> Unit | str:
    """Two tensors, or a tensor and a constant."""
    if all(constant_array(value) is not None for value in node.inputs):
        return "both its inputs are constant"
    return plain(node, 0, 1)


@handlers.decorator("Concat")
def concat(node: ir.Node, facts: Facts) -> Unit | str:
    """Any number of tensors."""
    return plain(node, *range(len(node.inputs)))


@handlers.decorator("Sigmoid")
@handlers.decorator("LeakyRelu")
def table(node: ir.Node, facts: Facts) -> Unit | str:
    """A function of one value."""
    return plain(node, 0)
