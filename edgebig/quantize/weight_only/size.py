"""How a weight will be stored, and how many bytes that takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil

import numpy as np
import onnx_ir as ir

from edgebig.quantize.weight_only.readers import Form, Reader
from edgebig.quantize.weight_only.settings import BLOCK_SIZES, WHOLE_ROW, WeightOnlySettings

_KERNELS = ("Conv", "ConvTranspose")


class Storage(Enum):
    """Where scales stand.

    Attributes:
        NBITS: Rows of outputs, blocks of inputs, as MatMulNBits has them.
        BLOCKED: In the weight's own shape; a scale per block of its inputs' axis.
        PER_CHANNEL: In the weight's own shape; a scale per entry of its outputs' axis.
    """

    NBITS = "nbits"
    BLOCKED = "blocked"
    PER_CHANNEL = "per channel"


@dataclass(frozen=True)
class Spec:
    """How a weight will be stored.

    Attributes:
        storage: Where scales stand.
        bits: 4 or 8.
        symmetric: Whether there are no zero points.
        shape: Of the weight.
        axis: Of the inputs; of the outputs for PER_CHANNEL.
        rows: Sets of inputs with scales of their own.
        inputs: Weights in each.
        block_size: Inputs that share a scale.
        written: Block size in the file; smaller than `block_size` where a scale is written several times.
        dtype: Of the scales.
    """

    storage: Storage
    bits: int
    symmetric: bool
    shape: tuple[int, ...]
    axis: int
    rows: int
    inputs: int
    block_size: int
    written: int
    dtype: ir.DataType

    @property
    def blocks(self) -> int:
        """Scales of a row, as written."""
        return ceil(self.inputs / self.written)

    @property
    def levels(self) -> int:
        """The largest integer."""
        return int(2**self.bits - 1)

    @property
    def words(self) -> str:
        """For people."""
        grid = "a scale per output" if self.block_size >= self.inputs else f"blocks of {self.block_size}"
        return f"int{self.bits}, {grid}" + ("" if self.symmetric else " with zero points")


def spec_for(value: ir.Value, readers: Sequence[Reader], settings: WeightOnlySettings) -> Spec:
    """How a weight will be stored that these nodes read, all along the same axis."""
    first = readers[0]
    shape = tuple(int(size) for size in value.const_value.shape.numpy())  # type: ignore[union-attr]
    bits = settings.bits_for(table=any(reader.form is Form.TABLE for reader in readers))
    nbits = settings.format == "nbits"
    if any(reader.node.op_type in _KERNELS for reader in readers) or (
        nbits and any(reader.form is Form.BEHIND for reader in readers)
    ):
        # Sums over several axes have no blocks, and blocks in DequantizeLinear need opset 21.
        storage, bits = Storage.PER_CHANNEL, 8
    elif nbits:
        storage = Storage.NBITS
    elif settings.block_size == WHOLE_ROW and all(reader.form is not Form.TABLE for reader in readers):
        storage = Storage.PER_CHANNEL
    else:
        storage = Storage.BLOCKED
    size = int(np.prod(shape))
    axis = first.outputs_axis if storage is Storage.PER_CHANNEL else first.inputs_axis
    inputs = size // max(shape[axis], 1) if storage is Storage.PER_CHANNEL else shape[axis]
    block = inputs if storage is Storage.PER_CHANNEL or settings.block_size == WHOLE_ROW else settings.block_size
    return Spec(
        storage=storage,
        bits=bits,
        symmetric=settings.is_symmetric(bits),
        shape=shape,
        axis=axis,
        rows=size // max(inputs, 1),
        inputs=inputs,
        block_size=block,
        written=_written(block, inputs) if storage is Storage.NBITS else max(block, 1),
        dtype=first.source.dtype if storage is Storage.NBITS else value.const_value.dtype,  # type: ignore[union-attr]
    )


def bytes_after(spec: Spec) -> int:
    """Bytes of integers, scales and zero points."""
    scales = spec.rows * spec.blocks
    if spec.storage is Storage.NBITS:
        integers = scales * spec.written * spec.bits // 8
        points = spec.rows * ceil(spec.blocks * spec.bits / 8)
    else:
        integers = ceil(spec.rows * spec.inputs * spec.bits / 8)
        points = ceil(scales * spec.bits / 8)
    return integers + scales * spec.dtype.bitwidth // 8 + (0 if spec.symmetric else points)


def _written(block: int, inputs: int) -> int:
    """The block size of the file: the block itself, or for a whole row the one that needs the fewest padded inputs."""
    if block in BLOCK_SIZES:
        return block
    return min(BLOCK_SIZES, key=lambda size: (ceil(inputs / size) * size, -size))
