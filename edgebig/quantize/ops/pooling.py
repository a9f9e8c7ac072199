"""Pools. A mean over the spatial axes is written as GlobalAveragePool: ReduceMean has no integer kernel."""

import numpy as np
import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.quantize.formats.qdq import QdqWriter
from edgebig.quantize.ops.base import handlers, plain
from edgebig.quantize.unit import Facts, ScaleRule, Unit


@handlers.decorator("AveragePool")
@handlers.decorator("GlobalAveragePool")
def average_pool(node: ir.Node, facts: Facts) -> Unit | str:
    """A mean over a window or over all positions."""
    if node.attributes.get_int("ceil_mode", 0) or any(d != 1 for d in node.attributes.get_ints("dilations", ())):
        return "onnxruntime's integer kernel knows no ceil_mode and no dilations"
    return plain(node, 0)


@handlers.decorator("MaxPool")
def max_pool(node: ir.Node, facts: Facts) -> Unit | str:
    """The largest integer is that of the largest value."""
    if len(node.outputs) > 1:
        return "it also gives indices"
    return plain(node, 0, scale=ScaleRule.INPUT)


@handlers.decorator("ReduceMean")
def reduce_mean(node: ir.Node, facts: Facts) -> Unit | str:
    """A mean over both spatial axes of [batch, channels, height, width]."""
    if node.op_type not in facts.target.replaced_ops:
        return plain(node, 0)
    shape = facts.shape(node.inputs[0])
    axes = constant_array(node.inputs[1]) if len(node.inputs) > 1 else node.attributes.get_ints("axes", None)
    if shape is None or len(shape) != 4 or axes is None:
        return "onnxruntime has an integer kernel for means over both spatial axes only"
    if sorted(int(axis) % 4 for axis in np.ravel(axes)) != [2, 3]:
        return "onnxruntime has an integer kernel for means over both spatial axes only"
    return Unit(node, (0,), ScaleRule.OWN, float_output=False, write=_write_reduce_mean)


def _write_reduce_mean(unit: Unit, writer: QdqWriter) -> None:
    pooled = writer.node("GlobalAveragePool", [writer.read(unit.node.inputs[0])], unit.outputs[0])
    if unit.node.attributes.get_int("keepdims", 1):
        writer.finish(unit, raw=pooled)
        return
    batch_and_channels = list(unit.outputs[0].shape or ())
    pooled.shape = ir.Shape([*batch_and_channels, 1, 1]) if len(batch_and_channels) == 2 else None
    params, _ = writer.output_params(unit)
    axes = writer.constant("axes", np.array([2, 3], dtype=np.int64))
    writer.finish(unit, raw=writer.node("Squeeze", [writer.around(pooled, params), axes], unit.outputs[0]))
