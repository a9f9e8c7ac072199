"""What a handler of an operator is: it says whether a node can run in integers and how it is written then."""

from collections.abc import Callable

import onnx_ir as ir

from edgebig.quantize.formats.qdq import QdqWriter
from edgebig.quantize.unit import Facts, ScaleRule, Unit
from edgebig.registry import Registry

Handler = Callable[[ir.Node, Facts], Unit | str]
"""Sees a node as a unit, or says in words why it cannot run in integers. It changes nothing."""

handlers: Registry[Handler] = Registry("quantized operator")


def write_plain(unit: Unit, writer: QdqWriter) -> None:
    """Write a unit by giving its activations and its outputs Q and DQ, nothing else."""
    for index in unit.activations:
        unit.node.replace_input_with(index, writer.read(unit.node.inputs[index]))
    writer.finish(unit)


def plain(node: ir.Node, *activations: int, scale: ScaleRule = ScaleRule.OWN) -> Unit:
    """A unit that `write_plain` writes."""
    return Unit(node, activations, scale, float_output=False, write=write_plain)
