"""Block-sparse weights: which blocks of 16 filters x 4 inputs are kept, and the kept ones in the order tiles read them.

The inputs of a filter lie in the order (height, width, channels), as in a row of the panel, so a block is four
neighbouring channels at one position of the kernel wherever the channels are a multiple of four.
"""

import numpy as np
from numpy.typing import NDArray

from edgebig.kernels.dots import Dot

FILTERS, INPUTS = 16, 4


def density(weights: NDArray[np.generic]) -> float:
    """Kept blocks / all blocks.

    Args:
        weights: [filters, channels(, height, width)] with the zero point subtracted.
    """
    kept = _kept(_blocks(weights))
    return float(kept.mean()) if kept.size else 0.0


def pack_blocks(
    weights: NDArray[np.generic], dot: Dot
) -> tuple[NDArray[np.generic], NDArray[np.int32], NDArray[np.int32]]:
    """Pack the kept blocks.

    Args:
        weights: [filters, channels(, height, width)], integers without zero point, or float32 for dots of floats.
        dot: Reads them.

    Returns:
        The values, [kept][element][vector][lane][value of the element]; for each kept block the byte offset of its
        activations in a row of the panel; and for each 16 filters where their kept blocks begin, with the end.
    """
    cut = _blocks(weights)
    kept = _kept(cut)
    starts = np.zeros(len(cut) + 1, np.int32)
    starts[1:] = np.cumsum(kept.sum(axis=1))
    elements = INPUTS // dot.group
    chosen = cut.transpose(0, 2, 1, 3)[kept]  # [kept, 16, 4]
    shape = (len(chosen), FILTERS // dot.lanes, dot.lanes, elements, dot.group)
    values = chosen.reshape(shape).transpose(0, 3, 1, 2, 4).ravel()
    kind = np.int8 if dot.narrow else {4: np.int8, 2: np.int16, 1: np.float32}[dot.group]
    return values.astype(kind), (np.nonzero(kept)[1] * 4 * elements).astype(np.int32), starts


def _blocks(weights: NDArray[np.generic]) -> NDArray[np.generic]:
    """[ceil(filters / 16), 16, ceil(inner / 4), 4], padded with zeros."""
    ordered = weights.transpose(0, 2, 3, 1) if weights.ndim == 4 else weights
    flat = ordered.reshape(len(weights), int(np.prod(weights.shape[1:])))
    rows, inner = -(-flat.shape[0] // FILTERS), -(-flat.shape[1] // INPUTS)
    padded = np.zeros((rows * FILTERS, inner * INPUTS), flat.dtype)
    padded[: flat.shape[0], : flat.shape[1]] = flat
    return padded.reshape(rows, FILTERS, inner, INPUTS)


def _kept(blocks: NDArray[np.generic]) -> NDArray[np.bool_]:
    return (blocks != 0).any(axis=(1, 3))
