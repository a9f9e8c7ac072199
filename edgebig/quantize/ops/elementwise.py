"""Add, Mul, Concat, and the functions onnxruntime looks up in a table: Sigmoid, LeakyRelu."""

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.graph.weights import as_weighted
from edgebig.quantize.ops.base import handlers, plain, write_plain
from edgebig.quantize.unit import Facts, ScaleRule, Unit
from edgebig.targets.base import Elementwise


@handlers.decorator("Add")
@handlers.decorator("Mul")
def binary(node: ir.Node, facts: Facts) -> Unit | str:
    """Two tensors, or a tensor and a constant."""
    if all(constant_array(value) is not None for value in node.inputs):
        return "both its inputs are constant"
    if facts.target.elementwise is Elementwise.RESIDUAL:
        return _residual(node, facts)
    return plain(node, 0, 1)


def _residual(node: ir.Node, facts: Facts) -> Unit | str:
    """An Add that a weighted operator's kernel takes in: its other input, the shortcut, is what gets a pair."""
    if any(constant_array(value) is not None for value in node.inputs):
        return f"{facts.target.name} fuses it in float with the operator before it"
    for index in (1, 0):
        value = node.inputs[index]
        producer = None if value is None else value.producer()
        if producer is None or value is None or len(value.uses()) != 1 or value.is_graph_output():
            continue
        if as_weighted(producer) is not None and value is not node.inputs[1 - index]:
            return Unit(node, (1 - index,), ScaleRule.OWN, float_output=True, write=write_plain, forced=True)
    return f"{facts.target.name} fuses it in float: no weighted operator directly before it could take it in"


@handlers.decorator("Concat")
def concat(node: ir.Node, facts: Facts) -> Unit | str:
    """Any number of tensors."""
    return plain(node, *range(len(node.inputs)))


@handlers.decorator("Sigmoid")
@handlers.decorator("LeakyRelu")
def table(node: ir.Node, facts: Facts) -> Unit | str:
    """A function of one value."""
    return plain(node, 0)
