"""What zeros save on disk: the size of the weights, compressed."""

import zlib

import numpy as np
import onnx_ir as ir

LEVEL = 6
CHUNK = 1 << 22


def compressed_bytes(model: ir.Model) -> int:
    """Bytes of all initializers as one deflate stream, as zip and gzip write it."""
    packer = zlib.compressobj(LEVEL)
    total = 0
    seen: set[int] = set()
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is None or id(tensor) in seen or tensor.dtype == ir.DataType.STRING:
                continue
            seen.add(id(tensor))
            flat = np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8)
            for start in range(0, len(flat), CHUNK):
                total += len(packer.compress(flat[start : start + CHUNK].tobytes()))
    return total + len(packer.flush())
