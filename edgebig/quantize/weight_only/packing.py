"""Integers as ONNX stores them: two 4-bit integers share a byte, the first in the lower half."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.quantize.weight_only.blocks import Integers
from edgebig.quantize.weight_only.size import Spec, Storage

_TYPES = {
    (4, True): ir.DataType.INT4,
    (4, False): ir.DataType.UINT4,
    (8, True): ir.DataType.INT8,
    (8, False): ir.DataType.UINT8,
}


def integer_type(spec: Spec) -> ir.DataType:
    """The type of the integers behind a DequantizeLinear."""
    return _TYPES[spec.bits, spec.symmetric]


def pack_pairs(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pack 4-bit integers along the last axis, which gets a zero at its end where it is odd."""
    if values.shape[-1] % 2:
        values = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, 1)])
    packed: NDArray[np.uint8] = values[..., 0::2] | (values[..., 1::2] << np.uint8(4))
    return packed


def nbits_arrays(integers: Integers, spec: Spec) -> tuple[NDArray, NDArray, NDArray | None]:
    """The inputs of a MatMulNBits.

    Returns:
        uint8 [rows, blocks, written * bits / 8], scales [rows, blocks], and zero points [rows, ceil(blocks * bits / 8)]
        or None.
    """
    values: NDArray = integers.values
    scales: NDArray = integers.scales
    points: NDArray = integers.points
    if spec.written != spec.block_size:
        flat = values.reshape(spec.rows, -1)[:, : spec.inputs]
        values = np.broadcast_to(points[:, :1], (spec.rows, spec.blocks * spec.written)).copy()
        values[:, : spec.inputs] = flat
        values = values.reshape(spec.rows, spec.blocks, spec.written)
        scales, points = np.repeat(scales, spec.blocks, axis=1), np.repeat(points, spec.blocks, axis=1)
    if spec.bits == 4:
        values, points = pack_pairs(values), pack_pairs(points)
    return values, scales.astype(spec.dtype.numpy()), None if spec.symmetric else points


def qdq_arrays(integers: Integers, spec: Spec) -> tuple[NDArray, NDArray, NDArray | None]:
    """The inputs of a DequantizeLinear, in the weight's own shape.

    Returns:
        Bytes of the integers, scales (of one entry per output, or of the weight's shape with its inputs' axis divided
        by the block size), and bytes of the zero points or None.
    """
    values = integers.values.reshape(spec.rows, -1)[:, : spec.inputs]
    scales: NDArray
    points: NDArray
    rest = list(spec.shape)
    del rest[spec.axis]
    if spec.storage is Storage.PER_CHANNEL:
        scales, points = integers.scales[:, 0], integers.points[:, 0]
        moved = np.moveaxis(values.reshape([spec.rows, *rest]), 0, spec.axis)
    else:
        scales = np.moveaxis(integers.scales.reshape([*rest, -1]), -1, spec.axis)
        points = np.moveaxis(integers.points.reshape([*rest, -1]), -1, spec.axis)
        moved = np.moveaxis(values.reshape([*rest, spec.inputs]), -1, spec.axis)
    return (
        _stored(moved, spec),
        np.ascontiguousarray(scales.astype(spec.dtype.numpy())),
        None if spec.symmetric else _stored(points, spec),
    )


def _stored(values: NDArray[np.uint8], spec: Spec) -> NDArray:
    """Unsigned integers as the bytes of `integer_type`."""
    if spec.bits == 4:
        # Two's complement of q - 8 in four bits is q with the highest bit flipped.
        return pack_pairs((values ^ np.uint8(8) if spec.symmetric else values).reshape(-1))
    return (values ^ np.uint8(128)).view(np.int8) if spec.symmetric else values
