"""Which values of a quantized graph are one tensor in several representations: float, stored integer, dequantized."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgebig.diagnose.operators import ACCUMULATING, DEQUANTIZE, DYNAMIC, MOVING_OPS, QUANTIZE, TWINS
from edgebig.graph.edit import constant_array

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16)


@dataclass(frozen=True)
class Params:
    """The scale and zero point of stored integers, as values of the graph.

    Attributes:
        scale: Its value.
        zero_point: Its value; None for 0 of uint8.
        axis: The axis they run along where they are not scalars.
        of: The node that names them, for its attributes.
    """

    scale: ir.Value
    zero_point: ir.Value | None
    axis: int
    of: ir.Node


def carrier(value: ir.Value) -> ir.Value:
    """The value that first holds the tensor which `value` holds, perhaps in another representation."""
    while (source := _same_tensor(value)) is not None:
        value = source
    return value


def _same_tensor(value: ir.Value) -> ir.Value | None:
    """The value that this one only represents anew; None where its producer computes."""
    node = value.producer()
    if node is None:
        return None
    if node.op_type == DEQUANTIZE and not represents(node):
        return None
    if node.op_type in (QUANTIZE, DEQUANTIZE, "Identity") or (node.op_type == DYNAMIC and value.index() == 0):
        return node.inputs[0]
    if node.op_type == "Cast":
        source = node.inputs[0]
        if source is not None and (_accumulated(source) or (_is_float(value) and _is_float(source))):
            return source
    if node.op_type == "Mul":
        return next((operand for operand in node.inputs if operand is not None and _accumulated(operand)), None)
    if node.op_type == "Add":
        return _biased(node)
    return None


def represents(node: ir.Node) -> bool:
    """Whether a DequantizeLinear gives back what its integers were made from: one with another scale or zero point
    than the QuantizeLinear before it computes (x / 6 + 0.5 costs nothing that way)."""
    quantize = node.inputs[0].producer() if node.inputs[0] is not None else None
    if quantize is None or quantize.op_type != QUANTIZE:
        return True
    for index in (1, 2):
        ours, theirs = (item.inputs[index] if index < len(item.inputs) else None for item in (node, quantize))
        if ours is not theirs:
            first, second = constant_array(ours), constant_array(theirs)
            if first is None or second is None or not np.array_equal(first, second, equal_nan=True):
                return False
    return True


def _accumulated(value: ir.Value) -> bool:
    """Whether a value is an int32 sum of an integer operator, or its Cast."""
    node = value.producer()
    if node is not None and node.op_type == "Cast" and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node is not None and node.op_type in ACCUMULATING


def _biased(node: ir.Node) -> ir.Value | None:
    """The scaled sum of a ConvInteger that a node adds the bias of the convolution to."""
    for operand, other in (tuple(node.inputs), tuple(reversed(node.inputs))):
        scaled = operand.producer() if operand is not None else None
        if (
            scaled is None
            or scaled.op_type != "Mul"
            or not any(v is not None and _accumulated(v) for v in scaled.inputs)
        ):
            continue
        source = carrier(scaled.outputs[0]).producer()
        reshaped = other.producer() if other is not None else None
        bias = other if reshaped is None else reshaped.inputs[0] if reshaped.op_type == "Reshape" else None
        if source is not None and source.op_type == "ConvInteger" and bias is not None and bias.is_initializer():
            return operand
    return None


def scaled_result(value: ir.Value) -> ir.Value:
    """The float value that an int32 sum becomes: behind Cast, Mul and the bias of a convolution."""
    found = value
    for user, _ in value.uses():
        if user.outputs and _same_tensor(user.outputs[0]) is value and user.op_type in ("Cast", "Mul", "Add"):
            found = scaled_result(user.outputs[0])
    return found


def params_of(value: ir.Value | None) -> Params | None:
    """The scale of a stored integer: its producer's, its readers', or that of the tensor it was moved from."""
    while value is not None:
        node = value.producer()
        twin = TWINS.get(node.op_type) if node is not None else None
        if node is not None and node.op_type == QUANTIZE:
            return _params(node, 1)
        if node is not None and twin is not None:
            return None if twin.result_scale is None else _params(node, twin.result_scale)
        found = next((_params(user, 1) for user, _ in value.uses() if user.op_type == DEQUANTIZE), None)
        if found is not None or node is None or node.op_type not in MOVING_OPS:
            return found
        value = node.inputs[0]
    return None


def _params(node: ir.Node, index: int) -> Params | None:
    scale = node.inputs[index]
    point = node.inputs[index + 1] if index + 1 < len(node.inputs) else None
    axis = node.attributes.get_int("axis", 1) if node.op_type in (QUANTIZE, DEQUANTIZE) else 1
    return None if scale is None else Params(scale, point, axis, node)


def is_stored(value: ir.Value) -> bool:
    """Whether a value that nodes compute holds stored integers with a known scale."""
    node = value.producer()
    if node is None:
        return False
    if node.op_type in MOVING_OPS and node.inputs[0] is not None:
        source = node.inputs[0]
        if source.is_initializer():  # an embedding of integers
            return value.const_value is None and params_of(value) is not None
        return is_stored(source)
    twin = TWINS.get(node.op_type)
    return node.op_type == QUANTIZE or (twin is not None and twin.result_scale is not None)


def is_weight(value: ir.Value | None) -> bool:
    """Whether a value is constant, or a constant in another representation."""
    while value is not None:
        node = value.producer()
        if node is None:
            return value.is_initializer() and not value.is_graph_input()
        if node.op_type not in (QUANTIZE, DEQUANTIZE, "Identity", "Cast"):
            return False
        value = node.inputs[0]
    return False


def _is_float(value: ir.Value) -> bool:
    return value.dtype in _FLOATS
