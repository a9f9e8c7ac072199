"""com.microsoft MatMulNBits: products with weights of 4 or 8 bits in blocks."""

from math import prod

import numpy as np
import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.kernels.nbits import MatMulNBits
from edgebig.runtime.lower.builder import Builder
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.plan import natural

# From this accuracy level on, onnxruntime quantizes activations to int8.
INT8_LEVEL = 4


def lower_matmul_nbits(b: Builder, node: ir.Node) -> None:
    """Lower a MatMulNBits with constant weights."""
    arrays = [constant_array(value) if value is not None else None for value in node.inputs[1:]]
    arrays += [None] * (5 - len(arrays))
    weights, scales, points, groups, bias = arrays
    if weights is None or scales is None:
        raise Refusal("its weights are not constant")
    if groups is not None or (len(node.inputs) > 4 and node.inputs[4] is not None):
        raise Refusal("its groups are permuted (g_idx)")
    if points is not None and points.dtype != np.uint8:
        raise Refusal("its zero points are float")
    x = b.tensor(node.inputs[0])
    inner, columns = node.attributes["K"].as_int(), node.attributes["N"].as_int()
    rows = prod(x.shape[:-1])
    level = node.attributes.get_int("accuracy_level", 0) or 0
    step = MatMulNBits(
        rows,
        inner,
        columns,
        node.attributes.get_int("bits", 4) or 4,
        node.attributes["block_size"].as_int(),
        points is not None,
        accuracy="int8" if level >= INT8_LEVEL else "float",
        tasks=b.tasks(rows * inner * columns),
    )
    made = b.result(node.outputs[0], "f32")
    view = b.view(x, natural(len(x.shape)))
    constants = b.constants(lambda: step.constants(weights, scales, points, bias), ("weights", "bias"))
    b.emit(step, {"x": view, "y": made, **constants})
