"""The constant behind a node's weight: an initializer, possibly through Cast, Transpose and Identity."""

from dataclasses import dataclass

import onnx_ir as ir

STANDARD = ("", "ai.onnx")
FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)


@dataclass(frozen=True)
class WeightSource:
    """Where a node's weight comes from.

    Attributes:
        value: The initializer.
        turned: Whether its two axes are swapped on the way.
        dtype: What the node reads, after casts.
    """

    value: ir.Value
    turned: bool
    dtype: ir.DataType


def weight_source(value: ir.Value | None) -> WeightSource | None:
    """Go back from a node's input to the float initializer it comes from; None where there is none."""
    turned = False
    dtype: ir.DataType | None = None
    while value is not None:
        if value.const_value is not None and value.is_initializer():
            stored = value.const_value.dtype
            if value.is_graph_input() or stored not in FLOATS:
                return None
            return WeightSource(value, turned, dtype or stored)
        node = value.producer()
        if node is None or node.domain not in STANDARD or node.op_type not in ("Cast", "Transpose", "Identity"):
            return None
        if node.op_type == "Cast":
            dtype = dtype or ir.DataType(node.attributes.get_int("to", 0))
            if dtype not in FLOATS:
                return None
        elif node.op_type == "Transpose":
            swapped = _swaps(node)
            if swapped is None:
                return None
            turned ^= swapped
        value = node.inputs[0]
    return None


def _swaps(node: ir.Node) -> bool | None:
    """Whether a Transpose swaps two axes, or does nothing; None where it does anything else."""
    value = node.inputs[0]
    order = node.attributes.get_ints("perm", None)
    rank = len(value.shape) if value is not None and value.shape is not None else len(order or ())
    if order is None:
        return True if rank == 2 else None
    if list(order) == list(range(len(order))):
        return False
    return True if list(order) == [1, 0] else None
