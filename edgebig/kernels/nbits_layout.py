"""How the weights of a MatMulNBits lie in memory: records of one block of inputs by a group of outputs.

A record holds all that the kernel needs for the block, one after the other, so that a product with one row of
activations reads memory from front to back once:

    weights      [vectors][dwords][lanes] 32-bit words, each of several inputs of one output
    scales       [outputs] f32
    zero points  [outputs] u8, where there are any

The records of a group follow each other by block, the groups by output. Outputs past the last have scale zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VECTORS = 4  # per group; with 8 lanes and 4-bit weights a record of 32 inputs is 640 bytes, ten cache lines


@dataclass(frozen=True)
class Layout:
    """Sizes of a record.

    Attributes:
        bits: Of a weight, 4 or 8.
        block_size: Inputs that share a scale.
        lanes: Outputs per vector.
        has_zero_points: Whether records hold zero points.
        nibbles: How two 4-bit weights share a byte: "quads" (inputs i and i + 4 of every eight) or "pairs"
            (neighbours, as ONNX has them).
        offset: What is taken off 8-bit weights and zero points (128 makes them signed bytes).
    """

    bits: int
    block_size: int
    lanes: int
    has_zero_points: bool
    nibbles: str
    offset: int = 0

    @property
    def outputs(self) -> int:
        """Outputs per group."""
        return VECTORS * self.lanes

    @property
    def dwords(self) -> int:
        """32-bit words of one output in one block."""
        return self.block_size * self.bits // 32

    @property
    def vector_bytes(self) -> int:
        """The weights of one vector of outputs in one block."""
        return self.dwords * self.lanes * 4

    @property
    def scales_at(self) -> int:
        """Where the scales begin in a record."""
        return VECTORS * self.vector_bytes

    @property
    def zero_points_at(self) -> int:
        """Where the zero points begin in a record."""
        return self.scales_at + self.outputs * 4

    @property
    def record(self) -> int:
        """Bytes of a record."""
        return self.zero_points_at + (self.outputs if self.has_zero_points else 0)

    def groups(self, columns: int) -> int:
        """Groups that hold so many outputs."""
        return -(-columns // self.outputs)


def pack(
    layout: Layout, weights: NDArray[np.uint8], scales: NDArray[np.floating], zero_points: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    """Lay weights out in records.

    Args:
        layout: The sizes.
        weights: ONNX's layout, u8 [columns, blocks, block_size * bits / 8].
        scales: [columns, blocks].
        zero_points: Packed as ONNX has them, u8 [columns, ceil(blocks * bits / 8)], or None.

    Returns:
        u8 [groups, blocks, layout.record].
    """
    columns, blocks = weights.shape[:2]
    groups = layout.groups(columns)
    records = np.zeros((groups, blocks, layout.record), np.uint8)
    shape = (groups, VECTORS, layout.lanes, blocks, layout.dwords)
    dwords = _dwords(layout, weights).reshape(columns, -1)
    ordered = _padded(dwords, groups * layout.outputs).reshape(shape).transpose(0, 3, 1, 4, 2)
    records[:, :, : layout.scales_at] = np.ascontiguousarray(ordered).view(np.uint8).reshape(groups, blocks, -1)
    by_group = (groups, layout.outputs, blocks)
    f32 = _padded(scales.astype(np.float32), groups * layout.outputs).reshape(by_group).transpose(0, 2, 1)
    records[:, :, layout.scales_at : layout.zero_points_at] = np.ascontiguousarray(f32).view(np.uint8)
    if zero_points is not None:
        points = _unpack(zero_points, layout.bits)[:, :blocks] ^ np.uint8(layout.offset)
        by_output = _padded(points, groups * layout.outputs).reshape(by_group)
        records[:, :, layout.zero_points_at :] = by_output.transpose(0, 2, 1)
    return records


def _dwords(layout: Layout, weights: NDArray[np.uint8]) -> NDArray[np.uint32]:
    if layout.bits == 8:
        return np.ascontiguousarray(weights ^ np.uint8(layout.offset)).view(np.uint32)
    if layout.nibbles == "pairs":
        return np.ascontiguousarray(weights).view(np.uint32)
    quads = _unpack(weights, 4).reshape(*weights.shape[:2], -1, 2, 4)
    return np.ascontiguousarray(quads[:, :, :, 0] | (quads[:, :, :, 1] << 4)).view(np.uint32)


def _unpack(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """One number per byte; the lower half of a byte comes first."""
    if bits == 8:
        return packed
    return np.stack([packed & np.uint8(15), packed >> np.uint8(4)], axis=-1).reshape(*packed.shape[:-1], -1)


def _padded(rows: NDArray, count: int) -> NDArray:
    return np.concatenate([rows, np.zeros((count - len(rows), *rows.shape[1:]), rows.dtype)])
