"""Results that wait on disk until the model is saved: packed weights of a large model are never all in memory."""

import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.errors import OutputError

# Smaller tensors stay in memory.
SMALL = 1 << 20
_FOLDER = "edgebig.spool"


class Spool:
    """Keeps tensors in one temporary file, which goes away with the last tensor that lies in it."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._size = 0

    def keep(self, name: str, array: NDArray, dtype: ir.DataType, shape: tuple[int, ...]) -> ir.TensorProtocol:
        """Take a tensor.

        Args:
            name: Its name.
            array: Its bytes as ONNX stores them; 4-bit integers are packed, uint8, the lower half first.
            dtype: Its type.
            shape: Its shape.

        Raises:
            OutputError: The disk of temporary files is full.
        """
        array = np.ascontiguousarray(array)
        if array.nbytes < SMALL:
            if dtype.bitwidth == 4:
                return ir.PackedTensor(array.reshape(-1), dtype, shape=shape, name=name)
            return ir.tensor(array.reshape(shape), dtype=dtype, name=name)
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="edgebig-")
        file = Path(self._folder.name) / "weights.data"
        try:
            with file.open("ab") as stream:
                stream.write(array.reshape(-1).view(np.uint8).data)
        except OSError as e:
            raise OutputError(
                f"the quantized weights cannot be kept in {tempfile.gettempdir()}: {e.strerror or e}. "
                f"Free some space, or name another folder in the variable TMPDIR."
            ) from e
        tensor = ir.ExternalTensor(
            file.name, self._size, array.nbytes, dtype, shape=ir.Shape(shape), name=name, base_dir=self._folder.name
        )
        tensor.meta[_FOLDER] = self._folder  # the folder lives as long as its tensors
        self._size += array.nbytes
        return tensor
