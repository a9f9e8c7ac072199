"""Scales and zero points in the graph, and quantized weights."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Affine, Lookup, Tensor

# An int8 tensor is held as uint8 with this added, and so is its zero point.
SIGNED_OFFSET = 128


def quantization_of(node: ir.Node) -> Affine | None:
    """Scale and zero point of a QuantizeLinear or DequantizeLinear of activations; None where kernels lack it."""
    return affine_of(node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None)


def affine_of(scale: ir.Value | None, zero_point: ir.Value | None) -> Affine | None:
    """Constant float32 scale and 8-bit zero point of a whole tensor; None where they are something else."""
    scales = constant_array(scale)
    if scales is None or scales.size != 1 or scales.dtype != np.float32:
        return None
    if zero_point is None:
        return Affine(np.float32(scales.reshape(-1)[0]), 0)
    points = constant_array(zero_point)
    if points is None or points.size != 1 or points.dtype not in (np.uint8, np.int8):
        return None
    is_signed = points.dtype == np.int8
    point = int(points.reshape(-1)[0]) + (SIGNED_OFFSET if is_signed else 0)
    return Affine(np.float32(scales.reshape(-1)[0]), point, bool(is_signed))


def affine_input(tensor: Tensor) -> tuple[Tensor, Affine] | None:
    """The quantized tensor behind a float one, with its scale; None where there is none."""
    source = tensor.source
    return (source.of, source.affine) if isinstance(source, Lookup) and source.affine is not None else None


@dataclass(frozen=True, eq=False)
class Weights:
    """Constant weights, quantized or not.

    Attributes:
        array: int8 or uint8 as stored, or float32.
        scale: float32 [size of the axis] or [1]; None for float weights.
        zero_point: int32, the scale's size.
        axis: Of the scales, where there are several.
    """

    array: NDArray
    scale: NDArray | None = None
    zero_point: NDArray | None = None
    axis: int = 0

    def real(self) -> NDArray:
        """float32: the values they stand for."""
        if self.scale is None or self.zero_point is None:
            return self.array
        shape = [1] * self.array.ndim
        if self.scale.size > 1:
            shape[self.axis] = self.scale.size
        centred = self.array.astype(np.float32) - self.zero_point.reshape(shape).astype(np.float32)
        return centred * self.scale.reshape(shape)

    def scales(self, count: int) -> NDArray:
        """float32 [count]: a scale per output channel."""
        return np.broadcast_to(np.ones(1, np.float32) if self.scale is None else self.scale, (count,))


def weights_of(value: ir.Value | None) -> Weights | None:
    """Constant weights behind a value: float32, or 8-bit through a DequantizeLinear; None where they are not that."""
    array = constant_array(value)
    if array is not None:
        return Weights(array) if array.dtype == np.float32 else None
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "DequantizeLinear" or (node.attributes.get_int("block_size", 0) or 0) != 0:
        return None
    stored = constant_array(node.inputs[0])
    scale = constant_array(node.inputs[1])
    points = constant_array(node.inputs[2]) if len(node.inputs) > 2 else None
    if (
        stored is None
        or scale is None
        or scale.dtype != np.float32
        or stored.dtype not in (np.int8, np.uint8, np.int32)
    ):
        return None
    if scale.ndim > 1:
        return None
    zero_point = np.zeros(scale.size, np.int32) if points is None else points.reshape(-1).astype(np.int32)
    axis = node.attributes.get_int("axis", 1) % max(stored.ndim, 1)
    return Weights(stored, scale.reshape(-1), zero_point, axis)


def is_constant_dequantize(node: ir.Node) -> bool:
    """Whether a node dequantizes a constant: its consumers read the constant themselves."""
    return node.op_type == "DequantizeLinear" and constant_array(node.inputs[0]) is not None


def signed(weights: Weights, output_axis: int) -> tuple[NDArray, NDArray]:
    """Quantized weights as int8, with what remains of their zero points.

    Args:
        weights: Quantized weights.
        output_axis: Axis of the output channels, along which scales may differ.

    Returns:
        The weights with the output channels first, int8; and int32 [channels], zeros where the kernels need not know.

    Raises:
        Refusal: Scales run along another axis.
    """
    if weights.scale is None or weights.zero_point is None:
        raise Refusal("its weights are float")
    array, points = weights.array, weights.zero_point
    if weights.scale.size > 1 and weights.axis != output_axis:
        raise Refusal(f"its weights have scales along axis {weights.axis}, not along the outputs (axis {output_axis})")
    if array.dtype == np.uint8:
        array = (array ^ np.uint8(0x80)).view(np.int8)
        points = points - SIGNED_OFFSET
    return np.moveaxis(array, output_axis, 0), np.broadcast_to(points, (array.shape[output_axis],)).astype(np.int32)
