"""Constants through QuantizeLinear and DequantizeLinear, in float32 arithmetic as ONNX specifies them."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.lint.quantized import QParams, qparams


def dequantized_array(node: ir.Node) -> NDArray | None:
    """The float numbers of a DequantizeLinear of constants; None where something is not constant, or in blocks."""
    array, params = constant_array(node.inputs[0]), qparams(node)
    if array is None or params is None or params.block_size:
        return None
    scale, point = spread(params, array.ndim)
    scale_value = node.inputs[1]
    dtype = np.float32 if scale_value is None or scale_value.dtype is None else scale_value.dtype.numpy()
    return ((array.astype(np.int32) - point).astype(np.float32) * scale).astype(dtype)


def quantized_array(array: NDArray, params: QParams) -> NDArray | None:
    """Integers of a QuantizeLinear of a constant; None for dtypes other than int8 and uint8, and for blocks."""
    if params.block_size or params.dtype not in (ir.DataType.INT8, ir.DataType.UINT8):
        return None
    scale, point = spread(params, array.ndim)
    limits = np.iinfo(params.dtype.numpy())
    integers = np.rint(array.astype(np.float32) / scale) + point
    return np.clip(integers, limits.min, limits.max).astype(limits.dtype)


def spread(params: QParams, rank: int) -> tuple[NDArray, NDArray]:
    """Scale and zero point in a shape that broadcasts against the tensor."""
    if params.scale.size == 1 or rank == 0:
        return params.scale.reshape(()), params.zero_point.reshape(())
    shape = [1] * rank
    shape[params.axis] = -1
    return params.scale.reshape(shape), np.broadcast_to(params.zero_point, params.scale.shape).reshape(shape)
