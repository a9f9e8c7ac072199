"""Reading QDQ: what QuantizeLinear and DequantizeLinear say, and which sides of a node they cover."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array

STANDARD = ("", "ai.onnx")
QDQ_DOMAINS = (*STANDARD, "com.microsoft")
FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)
# Between an operator and the QuantizeLinear behind it; runtimes take them into the saturation.
CLIPPING = ("Relu", "Clip")
# Between a dequantized weight and its operator; runtimes fold them.
FOLDED = ("Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze")


@dataclass(frozen=True)
class QParams:
    """How integers stand for numbers: number = scale * (integer - zero point).

    Attributes:
        scale: One, one per channel of `axis`, or (with `block_size`) one per block.
        zero_point: Of the same shape; zeros where the node has none.
        dtype: Of the integers; None where the file does not say.
        axis: The axis of the channels, or of the blocks.
        block_size: Elements per block; 0 without blocks.
    """

    scale: NDArray
    zero_point: NDArray
    dtype: ir.DataType | None
    axis: int
    block_size: int

    @property
    def per_channel(self) -> bool:
        """Whether there is more than one scale along one axis."""
        return self.scale.ndim == 1 and self.scale.size > 1 and not self.block_size

    def same_as(self, other: "QParams") -> bool:
        """Whether integers mean the same numbers in both."""
        return (
            self.dtype == other.dtype
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
            and (self.scale.size == 1 or (self.axis, self.block_size) == (other.axis, other.block_size))
        )


def is_quantize(node: ir.Node | None) -> bool:
    """Whether it is a QuantizeLinear."""
    return node is not None and node.op_type == "QuantizeLinear" and node.domain in QDQ_DOMAINS


def is_dequantize(node: ir.Node | None) -> bool:
    """Whether it is a DequantizeLinear."""
    return node is not None and node.op_type == "DequantizeLinear" and node.domain in QDQ_DOMAINS


def optional_input(node: ir.Node, index: int) -> ir.Value | None:
    """An input that may be missing."""
    return node.inputs[index] if index < len(node.inputs) else None


def qparams(node: ir.Node) -> QParams | None:
    """What a QuantizeLinear or DequantizeLinear says; None where its scale or zero point is not constant."""
    scale = constant_array(optional_input(node, 1))
    point_value = optional_input(node, 2)
    point = constant_array(point_value)
    if scale is None or (point is None and point_value is not None):
        return None
    dtype = integer_dtype(node)
    axis = int(node.attributes.get_int("axis", 1))
    zero_point = np.zeros(scale.shape, np.int32) if point is None else point.astype(np.int32)
    return QParams(scale.astype(np.float32), zero_point, dtype, axis, int(node.attributes.get_int("block_size", 0)))


def integer_dtype(node: ir.Node) -> ir.DataType | None:
    """The dtype of the integers that a QuantizeLinear writes or a DequantizeLinear reads."""
    point = optional_input(node, 2)
    integers = node.outputs[0] if is_quantize(node) else node.inputs[0]
    for value in (point, integers):
        if value is not None and value.const_value is not None:
            return value.const_value.dtype
        if value is not None and value.dtype is not None:
            return value.dtype
    if is_quantize(node):
        given = node.attributes.get_int("output_dtype", 0)
        return ir.DataType(int(given)) if given else ir.DataType.UINT8
    return None


def dequantize_of(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that a value comes from, through what runtimes fold on a constant; None without one."""
    producer = value.producer() if value is not None else None
    if is_dequantize(producer):
        return producer
    if producer is not None and producer.op_type in FOLDED and producer.inputs:
        found = dequantize_of(producer.inputs[0])
        return found if found is not None and stored_integers(found) is not None else None
    return None


def stored_integers(dequantize: ir.Node) -> ir.Value | None:
    """The constant a DequantizeLinear reads: integers, or the float weight behind a QuantizeLinear; else None."""
    value = dequantize.inputs[0]
    producer = value.producer() if value is not None else None
    if producer is not None and is_quantize(producer):
        value = producer.inputs[0]
    return value if is_constant(value) else None


def is_constant(value: ir.Value | None) -> bool:
    """Whether it is an initializer that no caller can override."""
    return value is not None and value.const_value is not None and not value.is_graph_input()


def is_float(value: ir.Value | None) -> bool:
    """Whether a value holds float numbers, as far as the file says (unknown dtypes count as float)."""
    return value is not None and (value.dtype is None or value.dtype in FLOATS)


def result_value(node: ir.Node) -> ir.Value:
    """A node's first output, or that of the clipping activation behind it that alone reads it."""
    value = node.outputs[0]
    uses = list(value.uses())
    if len(uses) == 1 and uses[0].node.op_type in CLIPPING and uses[0].idx == 0 and not value.is_graph_output():
        return uses[0].node.outputs[0]
    return value


def float_users(value: ir.Value) -> list[ir.Node]:
    """The nodes that read a value as it is, not through a QuantizeLinear."""
    return [use.node for use in value.uses() if not is_quantize(use.node)]


def is_quantized_result(value: ir.Value) -> bool:
    """Whether all that becomes of a value is being quantized."""
    return bool(value.uses()) and not float_users(value) and not value.is_graph_output()
