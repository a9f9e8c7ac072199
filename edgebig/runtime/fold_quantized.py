"""Constants that the graph quantizes itself become quantized constants: as QAT exporters write weights, for instance.

A QuantizeLinear of a constant (an initializer or a Constant node) is worked out; the DequantizeLinear behind it then
reads a constant, which kernels take as weights, scales or masks.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array

_TYPES = (np.uint8, np.int8)


def fold_quantized_constants(graph: ir.Graph) -> int:
    """Replace QuantizeLinear nodes of constants, to 8 bits, by initializers.

    Args:
        graph: Changed in place.

    Returns:
        The number of nodes replaced.
    """
    folded = 0
    for node in list(graph):
        array = _quantized(node) if node.op_type == "QuantizeLinear" else None
        value = node.outputs[0]
        if array is None or value.is_graph_output():
            continue
        name = f"{value.name}_folded"
        constant = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        constant.shape, constant.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.from_numpy(array.dtype))
        graph.register_initializer(constant)
        value.replace_all_uses_with(constant)
        graph.remove(node, safe=True)
        folded += 1
    return folded


def _quantized(node: ir.Node) -> NDArray | None:
    """What a QuantizeLinear gives: clip(rint(x / scale) + zero_point), in float32; None where it is not known here."""
    x, scale = (constant_array(value) for value in node.inputs[:2])
    point = node.inputs[2] if len(node.inputs) > 2 else None
    points = np.zeros(1, np.uint8) if point is None else constant_array(point)
    if x is None or scale is None or points is None or x.dtype != np.float32 or scale.dtype != np.float32:
        return None
    # Attributes of later versions say which type and precision; blocks have scales along two axes.
    if {"output_dtype", "block_size", "saturate", "precision"} & set(node.attributes) or scale.ndim > 1:
        return None
    if points.dtype not in _TYPES or not np.isfinite(x).all():
        return None
    shape = [1] * x.ndim
    if scale.size > 1:
        shape[node.attributes.get_int("axis", 1)] = scale.size
    steps = np.rint(x / scale.reshape(shape)) + np.broadcast_to(points.reshape(-1), (scale.size,)).reshape(shape)
    limits = np.iinfo(points.dtype)
    return np.clip(steps, limits.min, limits.max).astype(points.dtype).reshape(x.shape)
