"""Float32 constants in float16."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.quantize.half.extremes import LARGEST
from edgebig.quantize.weight_only.reading import read_parts
from edgebig.quantize.weight_only.stored import Store


def half_array(tensor: ir.TensorProtocol) -> tuple[NDArray[np.float16], float]:
    """A tensor in float16, read in parts; finite numbers beyond its range are cut to it.

    Returns:
        The array, and its mean squared error over the mean square of the finite numbers.
    """
    shape = tensor.shape.numpy()
    result = np.empty(shape, np.float16)
    error = power = 0.0
    parts = read_parts(tensor, 1) if shape else [(0, np.asarray(tensor.numpy()))]
    for start, part in parts:
        finite = np.isfinite(part)
        cut = np.clip(part, -LARGEST, LARGEST).astype(np.float16)
        if not finite.all():
            cut = np.where(finite, cut, part.astype(np.float16))
        if shape:
            result[start : start + len(part)] = cut
        else:
            result[()] = cut
        kept = part[finite].astype(np.float64)
        lost = cut[finite].astype(np.float64) - kept
        error += float(np.dot(lost, lost))
        power += float(np.dot(kept, kept))
    return result, error / power if power else 0.0


def half_constant(value: ir.Value, store: Store) -> tuple[ir.Value, float]:
    """A float16 copy of an initializer beside it, and its error as `half_array` has it."""
    graph, tensor = value.graph, value.const_value
    if not isinstance(graph, ir.Graph) or tensor is None:
        raise TypeError(f"initializer {value.name!r} lies in no graph")
    array, error = half_array(tensor)
    return store.constant(graph, f"{value.name}_half", array), error
