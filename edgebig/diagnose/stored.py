"""Constants of a quantized graph as floats."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.diagnose.operators import ACCUMULATING, DEQUANTIZE, QUANTIZE, TWINS
from edgebig.graph.edit import constant_array


def dequantized_constant(value: ir.Value, reader: ir.Node | None = None) -> NDArray | None:
    """A constant as floats.

    Args:
        value: A float constant, the output of a DequantizeLinear of a constant, or the integers that `reader` takes.
        reader: The integer operator that reads it.

    Returns:
        Its array, or None where the value is not constant, or packed in a way of its own.
    """
    integers, scale, point, axis, block = _parts(value, reader)
    array = constant_array(integers)
    if array is None and integers.producer() is not None:
        array = _quantized_here(integers)
    if array is None or scale is None:
        return array if array is not None and array.dtype.kind == "f" else None
    factor, zero = constant_array(scale), constant_array(point)
    if factor is None:
        return None
    return dequantize(array, factor, zero, axis=axis, block=block)


def is_dequantized_constant(value: ir.Value | None) -> bool:
    """Whether a value is a constant behind a DequantizeLinear: stored as integers, or quantized in the graph."""
    node = value.producer() if value is not None else None
    source = node.inputs[0] if node is not None and node.op_type == DEQUANTIZE else None
    quantize = source.producer() if source is not None else None
    if quantize is not None and quantize.op_type == QUANTIZE:
        source = quantize.inputs[0]
    return source is not None and constant_array(source) is not None


def _quantized_here(value: ir.Value) -> NDArray | None:
    """The integers of a constant that a QuantizeLinear of the graph makes (as tools for training write weights)."""
    node = value.producer()
    if node is None or node.op_type != QUANTIZE:
        return None
    array, scale = constant_array(node.inputs[0]), constant_array(node.inputs[1])
    if array is None or scale is None:
        return None
    point = constant_array(node.inputs[2]) if len(node.inputs) > 2 else None
    axis, block = node.attributes.get_int("axis", 1), node.attributes.get_int("block_size", 0)
    dtype = np.dtype(np.uint8) if point is None else point.dtype
    limits = np.iinfo(dtype)
    zero = 0.0 if point is None else spread(point.astype(np.float64), array.shape, axis, block)
    numbers = np.rint(array / spread(scale.astype(np.float64), array.shape, axis, block)) + zero
    return np.clip(numbers, limits.min, limits.max).astype(dtype)


def dequantize(array: NDArray, scale: NDArray, point: NDArray | None, *, axis: int, block: int = 0) -> NDArray:
    """(array - point) * scale, as DequantizeLinear defines it, in float32.

    Args:
        array: Integers.
        scale: A number, one per entry of `axis`, or with `block` one per block along it.
        point: Of the scale's shape; None for 0.
        axis: The axis of the scale.
        block: Entries of `axis` per scale; 0 without blocks.
    """
    factor = spread(np.asarray(scale, np.float32), array.shape, axis, block)
    numbers = array.astype(np.float32)
    if point is not None:
        numbers = numbers - spread(np.asarray(point).astype(np.float32), array.shape, axis, block)
    return numbers * factor


def spread(values: NDArray, shape: tuple[int, ...], axis: int, block: int = 0) -> NDArray:
    """Scales or zero points in a form that broadcasts against the tensor they belong to."""
    if values.size == 1:
        return values.reshape(())
    axis %= max(len(shape), 1)
    if block or values.ndim > 1:
        block = block or -(-shape[axis] // values.shape[axis])
        repeated = np.repeat(values, block, axis=axis)
        return repeated[tuple(slice(0, size) for size in shape)]
    if values.shape[0] != shape[axis]:
        return values.reshape(-1)[:1].reshape(())  # a file with the wrong axis; a detector of its own says so
    return values.reshape([-1 if index == axis else 1 for index in range(len(shape))])


def _parts(value: ir.Value, reader: ir.Node | None) -> tuple[ir.Value, ir.Value | None, ir.Value | None, int, int]:
    """Integers, scale, zero point, axis, block size."""
    node = value.producer()
    if node is not None and node.op_type == DEQUANTIZE and node.inputs[0] is not None:
        point = node.inputs[2] if len(node.inputs) > 2 else None
        axis, block = node.attributes.get_int("axis", 1), node.attributes.get_int("block_size", 0)
        return node.inputs[0], node.inputs[1], point, axis, block
    twin = TWINS.get(reader.op_type) if reader is not None else None
    if reader is not None and reader.op_type in ACCUMULATING and len(reader.inputs) > 1 and reader.inputs[1] is value:
        axis = 0 if reader.op_type == "ConvInteger" else -1
        return value, summed_scale(reader), reader.inputs[3] if len(reader.inputs) > 3 else None, axis, 0
    if twin is None or reader is None or value not in reader.inputs:
        return value, None, None, 0, 0
    index = list(reader.inputs).index(value)
    place = twin.operands.index(index) if index in twin.operands and not twin.repeats else -1
    at = twin.scales[place] if 0 <= place < len(twin.scales) else -1
    if at < 0 or at >= len(reader.inputs):
        return value, None, None, 0, 0
    point = reader.inputs[at + 1] if at + 1 < len(reader.inputs) else None
    axis = 0 if twin.op_type == "Conv" else -1
    return value, reader.inputs[at], point, axis, 0


def summed_scale(node: ir.Node) -> ir.Value | None:
    """The weight's scale of a ConvInteger or MatMulInteger: the constant factor that its sums are multiplied with."""
    casts = [user for user, _ in node.outputs[0].uses() if user.op_type == "Cast"]
    for scaling in (user for cast in casts for user, _ in cast.outputs[0].uses() if user.op_type == "Mul"):
        for factor in scaling.inputs:
            product = factor.producer() if factor is not None else None
            for value in product.inputs if product is not None and product.op_type == "Mul" else ():
                if constant_array(value) is not None:
                    return value
    return None
