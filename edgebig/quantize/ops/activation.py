"""Clipped activations: QuantizeLinear saturates, so it clips for free where its range is the clip's.

Right behind a node with an integer kernel they vanish into that node's QuantizeLinear (`absorb`). Elsewhere they are
an integer Add, whose output saturates:
    Relu(x)        = saturate(x + 0) at 0
    HardSigmoid(x) = alpha * saturate(x + beta / alpha) at 0 and 1 / alpha
    HardSwish(x)   = x * HardSigmoid(x)                       (Howard et al., "Searching for MobileNetV3", 2019)
onnxruntime has integer kernels for Add and Mul, and none for these three.
"""

import math

import onnx_ir as ir

from edgebig.quantize.clipping import clip_limits, gate_constants
from edgebig.quantize.formats.qdq import QdqWriter
from edgebig.quantize.ops.base import handlers, plain
from edgebig.quantize.qparams import QParams, qparams_for_range
from edgebig.quantize.unit import Facts, ScaleRule, Unit


@handlers.decorator("Relu")
@handlers.decorator("Clip")
def clip(node: ir.Node, facts: Facts) -> Unit | str:
    """A Relu or Clip that no integer kernel precedes."""
    limits = clip_limits(node)
    if node.op_type not in facts.target.replaced_ops:
        return plain(node, 0)
    if limits is None:
        return "its limits are not constants around 0"
    return Unit(node, (0,), ScaleRule.OWN, float_output=False, write=_write_clip, useful=limits)


def _write_clip(unit: Unit, writer: QdqWriter) -> None:
    writer.finish(unit, raw=_add(unit, writer, 0.0))


@handlers.decorator("HardSigmoid")
@handlers.decorator("HardSwish")
def gate(node: ir.Node, facts: Facts) -> Unit | str:
    """x * HardSigmoid(x), or the HardSigmoid alone."""
    constants = gate_constants(node)
    if node.op_type not in facts.target.replaced_ops:
        return plain(node, 0)
    if constants is None:
        return "its slope or offset cannot be written in integers"
    alpha, beta = constants
    lower, upper = -beta / alpha, (1 - beta) / alpha
    useful = (lower, math.inf) if node.op_type == "HardSwish" else (lower, upper)
    return Unit(node, (0,), ScaleRule.OWN, float_output=False, write=_write_gate, useful=useful)


def _write_gate(unit: Unit, writer: QdqWriter) -> None:
    alpha, beta = gate_constants(unit.node) or (0.0, 0.0)
    dtype = writer.activation_dtype
    shifted = _add(unit, writer, beta / alpha)
    written = qparams_for_range(0.0, 1 / alpha, dtype)
    read = QParams(written.scale * alpha, written.zero_point, dtype)
    if unit.node.op_type == "HardSigmoid":
        writer.finish(unit, raw=shifted, written=written, read=read)
        return
    gates = writer.around(shifted, written, read)
    writer.finish(unit, raw=writer.node("Mul", [writer.read(unit.node.inputs[0]), gates], unit.outputs[0]))


def _add(unit: Unit, writer: QdqWriter, offset: float) -> ir.Value:
    x = writer.read(unit.node.inputs[0])
    return writer.node("Add", [x, writer.constant_activation(offset)], unit.outputs[0])
