"""The stored integers that a layer multiplies, as matrices."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.diagnose.causes.context import Context
from edgebig.diagnose.operators import DYNAMIC, TWINS, float_type, operands
from edgebig.diagnose.pair import Pair
from edgebig.diagnose.ranges import integer_limits, scale_and_point
from edgebig.graph.edit import constant_array

# Rows and output channels that an emulation looks at.
MOST_ROWS, MOST_CHANNELS = 64, 256


def stored_rows(context: Context, layer: ir.Node) -> tuple[NDArray, NDArray] | None:
    """Activations uint8 [M, K] and weights int8 [N, K], both as int32, K in the same order.

    Returns:
        None unless the layer multiplies uint8 activations with constant int8 weights.
    """
    weighted, weight = context.weighted_node(layer), context.weight(layer)
    if weighted is None or weight is None or weighted.weight_index != 1:
        return None
    integers = _integers(weight.node)
    pair = next((p for p in context.suspects.inputs(weighted.node)), None)
    values = context.values.get(pair.name) if pair is not None else None
    if integers is None or pair is None or values is None or integers.shape != weight.original.shape:
        return None
    stored = _stored(pair, values, weight.node)
    if stored is None:
        return None
    if weighted.node.op_type == "Conv":
        return _conv_rows(stored, weighted.node, integers, weighted.groups)
    if weighted.node.op_type not in ("MatMul", "Gemm") or weighted.node.attributes.get_int("transA", 0) != 0:
        return None
    matrix = np.moveaxis(integers, weighted.output_axis, 0).reshape(integers.shape[weighted.output_axis], -1)
    rows = stored.reshape(-1, stored.shape[-1])
    return (_some(rows, MOST_ROWS), _some(matrix, MOST_CHANNELS)) if rows.shape[1] == matrix.shape[1] else None


def _integers(node: ir.Node) -> NDArray | None:
    """The int8 weight of a node of the quantized graph; None for unsigned or wider ones."""
    value = list(operands(node))[1]
    producer = value.producer() if value is not None else None
    array = constant_array(producer.inputs[0] if producer is not None else value)
    return array.astype(np.int32) if array is not None and array.dtype == np.int8 else None


def _stored(pair: Pair, values: NDArray, node: ir.Node) -> NDArray | None:
    """A float tensor as the uint8 that the layer reads; None where it reads others."""
    params, found = pair.params, scale_and_point(pair.params)
    if params is not None and found is not None and found[0].size == 1:
        if integer_limits(params) != (0, 255):
            return None
        stored = np.rint(values / float(found[0].item())) + float(found[1].reshape(-1)[0])
        return np.clip(stored, 0, 255).astype(np.int32)
    source = node.inputs[0].producer() if node.inputs[0] is not None else None
    if (source is not None and source.op_type == DYNAMIC) or node.op_type == "DynamicQuantizeMatMul":
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        scale = (high - low) / 255 or 1.0
        return np.clip(np.rint(values / scale) + np.rint(-low / scale), 0, 255).astype(np.int32)
    return None


def _conv_rows(stored: NDArray, node: ir.Node, weight: NDArray, groups: int) -> tuple[NDArray, NDArray] | None:
    """Patches of the first sample under the kernel, without padding; of the first group alone."""
    kernel = weight.shape[2:]
    if stored.ndim != weight.ndim or any(size < k for size, k in zip(stored.shape[2:], kernel, strict=True)):
        return None
    channels = stored[0, : weight.shape[1]]
    windows = np.lib.stride_tricks.sliding_window_view(channels, kernel, axis=tuple(range(1, channels.ndim)))
    spatial = len(kernel)
    # Kernel positions outside, channels innermost: the order of the kernels' packed patches.
    order = (*range(1, 1 + spatial), *range(1 + spatial, 1 + 2 * spatial), 0)
    rows = np.transpose(windows, order).reshape(-1, int(np.prod(kernel)) * channels.shape[0])
    own = weight[: weight.shape[0] // groups]
    matrix = np.moveaxis(own, 1, -1).reshape(own.shape[0], -1)
    if float_type(node) != "Conv" or node.op_type in TWINS:
        return None
    return _some(rows, MOST_ROWS), _some(matrix, MOST_CHANNELS)


def _some(rows: NDArray, count: int) -> NDArray:
    """At most so many rows, evenly spread."""
    return rows if len(rows) <= count else rows[np.linspace(0, len(rows) - 1, count).astype(int)]
