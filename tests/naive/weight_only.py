"""Oracles of weight-only quantization: loops that read a file's packed weights by the text of the specifications."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def nbits_weight(node: ir.Node) -> NDArray[np.float64]:
    """The matrix [N, K] that a MatMulNBits multiplies with."""
    bits, size = (node.attributes[name].as_int() for name in ("bits", "block_size"))
    columns, rows = node.attributes["K"].as_int(), node.attributes["N"].as_int()
    packed, scales = (node.inputs[i].const_value.numpy() for i in (1, 2))
    points = node.inputs[3].const_value.numpy() if len(node.inputs) > 3 and node.inputs[3] is not None else None
    weight = np.zeros((rows, columns))
    for row in range(rows):
        for column in range(columns):
            block, place = divmod(column, size)
            q = _entry(packed[row, block], place, bits)
            point = 2 ** (bits - 1) if points is None else _entry(points[row], block, bits)
            weight[row, column] = (int(q) - int(point)) * float(scales[row, block])
    return weight


def table(node: ir.Node, packed: NDArray, columns: int) -> NDArray[np.float64]:
    """The rows that a GatherBlockQuantized chooses from, of its packed table [rows, bytes]."""
    bits, size = (node.attributes[name].as_int() for name in ("bits", "block_size"))
    scales = node.inputs[2].const_value.numpy()
    points = node.inputs[3].const_value.numpy() if len(node.inputs) > 3 else None
    rows = np.zeros((len(packed), columns))
    for row in range(len(packed)):
        for column in range(columns):
            point = 2 ** (bits - 1) if points is None else _entry(points[row], column // size, bits)
            q = _entry(packed[row], column, bits)
            rows[row, column] = (int(q) - int(point)) * float(scales[row, column // size])
    return rows


def dequantized(node: ir.Node) -> NDArray[np.float64]:
    """What a DequantizeLinear of a constant gives, per axis or in blocks."""
    values = [value.const_value.numpy().astype(np.float64) for value in node.inputs]
    integers, scales = values[:2]
    points = values[2] if len(values) > 2 else np.zeros_like(scales)
    axis = node.attributes["axis"].as_int() % integers.ndim
    size = node.attributes["block_size"].as_int() if "block_size" in node.attributes else 0
    result = np.zeros_like(integers)
    for place in np.ndindex(*integers.shape):
        at = (place[axis],) if not size else tuple(p // size if i == axis else p for i, p in enumerate(place))
        result[place] = (integers[place] - points[at]) * scales[at]
    return result


def least_error(block: NDArray, levels: int, scales: NDArray) -> float:
    """The least squared error of a block over the scales given and all zero points."""
    best = float("inf")
    for scale in scales:
        for point in range(levels + 1):
            error = 0.0
            for weight in block:
                q = min(max(round(float(weight / scale)) + point, 0), levels)
                error += float(weight - scale * (q - point)) ** 2
            best = min(best, error)
    return best


def _entry(packed: NDArray, place: int, bits: int) -> int:
    if bits == 8:
        return int(packed[place])
    return int(packed[place // 2]) >> (4 * (place % 2)) & 15
