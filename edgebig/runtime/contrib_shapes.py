"""Shapes of onnxruntime's own operators (com.microsoft), which ONNX's shape inference does not know."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from edgebig.graph.shapes import static_shape

Shape = tuple[int, ...]
DOMAIN = "com.microsoft"


def declare_shapes(model: ir.Model) -> int:
    """Give outputs of nodes of the domain com.microsoft their shapes and dtypes, where they follow from the inputs.

    Args:
        model: Changed in place.

    Returns:
        How many outputs were given a shape they lacked.
    """
    found = 0
    for node in model.graph:
        rule = RULES.get(node.op_type) if node.domain == DOMAIN else None
        value = node.outputs[0]
        if rule is None or static_shape(value) is not None:
            continue
        shape = rule(node)
        if shape is not None:
            value.shape, value.type = ir.Shape(shape), _type(node)
            found += 1
    return found


def _same(node: ir.Node) -> Shape | None:
    return static_shape(node.inputs[0])


def _columns(node: ir.Node) -> Shape | None:
    """MatMulNBits: the last axis becomes N."""
    shape = static_shape(node.inputs[0])
    return None if shape is None else (*shape[:-1], node.attributes["N"].as_int())


def _matrix(node: ir.Node) -> Shape | None:
    """Products whose second input is a matrix."""
    a, b = static_shape(node.inputs[0]), static_shape(node.inputs[1])
    return None if a is None or b is None or len(b) != 2 else (*a[:-1], b[1])


def _broadcast(node: ir.Node) -> Shape | None:
    """QLinearAdd and the like: inputs 0 and 3."""
    shapes = static_shape(node.inputs[0]), static_shape(node.inputs[3])
    return None if shapes[0] is None or shapes[1] is None else tuple(np.broadcast_shapes(shapes[0], shapes[1]))


def _gemm(node: ir.Node) -> Shape | None:
    a, b = static_shape(node.inputs[0]), static_shape(node.inputs[3])
    if a is None or b is None or (node.attributes.get_int("transA", 0) or 0) != 0:
        return None
    return a[0], b[0 if (node.attributes.get_int("transB", 0) or 0) != 0 else 1]


def _global_pool(node: ir.Node) -> Shape | None:
    shape = static_shape(node.inputs[0])
    if shape is None or (node.attributes.get_int("channels_last", 0) or 0) != 0:
        return None
    return (*shape[:2], *(1 for _ in shape[2:]))


def _gather(node: ir.Node) -> Shape | None:
    """GatherBlockQuantized: rows of a table; bytes hold several numbers along the last axis."""
    table, indices = static_shape(node.inputs[0]), static_shape(node.inputs[1])
    if table is None or indices is None or node.inputs[0] is None:
        return None
    axis = (node.attributes.get_int("gather_axis", 0) or 0) % len(table)
    packed = 8 // (node.attributes.get_int("bits", 4) or 4) if node.inputs[0].dtype is ir.DataType.UINT8 else 1
    table = (*table[:-1], table[-1] * packed)
    return (*table[:axis], *indices, *table[axis + 1 :])


RULES: dict[str, Callable[[ir.Node], Shape | None]] = {
    "DequantizeLinear": _same,
    "DynamicQuantizeMatMul": _matrix,
    "GatherBlockQuantized": _gather,
    "Gelu": _same,
    "MatMulIntegerToFloat": _matrix,
    "MatMulNBits": _columns,
    "QGemm": _gemm,
    "QLinearAdd": _broadcast,
    "QLinearGlobalAveragePool": _global_pool,
    "QLinearLeakyRelu": _same,
    "QLinearMul": _broadcast,
    "QLinearSigmoid": _same,
    "QuantizeLinear": _same,
    "QuickGelu": _same,
}


def _type(node: ir.Node) -> ir.TypeProtocol | None:
    """The dtype of the first output: float of what dequantizes, that of the zero point of what quantizes."""
    if node.op_type in ("DequantizeLinear", "MatMulIntegerToFloat"):
        return ir.TensorType(ir.DataType.FLOAT)
    if node.op_type == "QuantizeLinear":
        point = node.inputs[2] if len(node.inputs) > 2 else None
        return point.type if point is not None and point.type is not None else ir.TensorType(ir.DataType.UINT8)
    first = node.inputs[2 if node.op_type == "GatherBlockQuantized" else 0]
    return first.type if first is not None else None
