"""LayerNormalization, with the residual addition before it."""

from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.kernels.normalise import LayerNormalization
from edgebig.runtime.lower.builder import Builder, shape_of
from edgebig.runtime.lower.parameters import weights_of
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Sum
from edgebig.runtime.plan import natural


def lower_layer_normalization(b: Builder, node: ir.Node) -> None:
    """Lower a LayerNormalization with constant scale and bias."""
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        raise Refusal("its mean or variance is used")
    value = node.outputs[0]
    shape = shape_of(value)
    axis = node.attributes.get_int("axis", -1) % len(shape)
    rows, columns = prod(shape[:axis]), prod(shape[axis:])
    scale = _constant(node.inputs[1], columns)
    given = node.inputs[2] if len(node.inputs) > 2 else None
    bias = np.zeros(columns, np.float32) if given is None else _constant(given, columns)
    x = b.tensor(node.inputs[0])
    order = natural(len(shape))
    source = x.source
    fused = isinstance(source, Sum) and not x.views
    tensors = {"x": source.a, "residual": source.b} if fused and isinstance(source, Sum) else {"x": x}
    views = {name: b.view(tensor, order) for name, tensor in tensors.items()}
    step = LayerNormalization(
        rows,
        columns,
        node.attributes.get_float("epsilon", 1e-5) or 0.0,
        residual=fused,
        tasks=b.tasks(8 * rows * columns),
    )
    made = b.result(value, "f32")
    b.emit(step, {**views, "scale": scale, "bias": bias, "y": made})


def _constant(value: ir.Value | None, columns: int) -> NDArray:
    """A constant of the normalised shape, dequantized where it is stored quantized."""
    weights = weights_of(value)
    if weights is None or weights.array.size != columns:
        raise Refusal("its scale or bias is no constant of the normalised shape")
    return weights.real().reshape(-1)
