"""Read a weight in parts, by plain reads: a part of a large file is in memory, never the map of all of it."""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

# Elements of a part.
PART = 1 << 22


def read_parts(tensor: ir.TensorProtocol, multiple: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Go along axis 0.

    Args:
        tensor: Float numbers, of rank 1 or more.
        multiple: Parts begin at multiples of this.

    Yields:
        Where the part begins, and float32 of its numbers.
    """
    sizes = tensor.shape.numpy()
    per_entry = max(int(np.prod(sizes[1:], dtype=np.int64)), 1)
    step = max(PART // per_entry // multiple, 1) * multiple
    for start in range(0, sizes[0], step):
        yield start, _read(tensor, start, min(start + step, sizes[0]), per_entry).astype(np.float32)


def read_all(tensor: ir.TensorProtocol) -> NDArray[np.float32]:
    """The whole weight, float32."""
    sizes = tensor.shape.numpy()
    per_entry = int(np.prod(sizes[1:], dtype=np.int64))
    return _read(tensor, 0, sizes[0], per_entry).astype(np.float32)


def _read(tensor: ir.TensorProtocol, start: int, stop: int, per_entry: int) -> NDArray:
    shape = (stop - start, *tensor.shape.numpy()[1:])
    if not isinstance(tensor, ir.ExternalTensor):
        return np.asarray(tensor.numpy())[start:stop]
    dtype = np.dtype(tensor.dtype.numpy())
    offset = (tensor.offset or 0) + start * per_entry * dtype.itemsize
    with open(tensor.path, "rb") as file:
        file.seek(offset)
        data = file.read((stop - start) * per_entry * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(shape)
