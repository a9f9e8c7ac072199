"""Integers from uint8 to int8 and back, 128 apart, with their zero points: no number changes."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import add_initializer, constant_array
from edgebig.lint.quantized import integer_dtype, optional_input


def shifted(array: NDArray) -> NDArray:
    """int8 as uint8 128 higher, uint8 as int8 128 lower."""
    flipped = np.ascontiguousarray(array).view(np.uint8) ^ np.uint8(0x80)
    # ascontiguousarray gives scalars an axis; onnxruntime wants scalars where it had them.
    return flipped.view(np.int8 if array.dtype == np.uint8 else np.uint8).reshape(array.shape)


def shift_point(node: ir.Node) -> None:
    """Shift the zero point of a QuantizeLinear or DequantizeLinear; one that it does not have becomes 128 or -128."""
    value = optional_input(node, 2)
    array = constant_array(value)
    if array is None:
        scale = constant_array(node.inputs[1])
        dtype = np.int8 if integer_dtype(node) is ir.DataType.INT8 else np.uint8
        array = np.zeros(() if scale is None else scale.shape, dtype)
    _replace(node, 2, shifted(array), value)


def shift_constant(node: ir.Node) -> None:
    """Shift the integers that a DequantizeLinear reads."""
    array = constant_array(node.inputs[0])
    if array is not None:
        _replace(node, 0, shifted(array), node.inputs[0])


def _replace(node: ir.Node, index: int, array: NDArray, old: ir.Value | None) -> None:
    if not isinstance(node.graph, ir.Graph):
        return
    name = f"{(old.name if old is not None else None) or 'zero_point'}_{array.dtype}"
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, add_initializer(node.graph, name, array))
    if old is not None and old.is_initializer() and not old.uses() and not old.is_graph_input():
        del node.graph.initializers[old.name or ""]
