"""How far a changed model's outputs are from the original's, without labels.

Each metric takes two arrays of one output, the original's and the changed model's, over the same samples, and gives
a loss: 0 is equal, more is worse.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgebig.registry import Registry

PairLoss = Callable[[NDArray, NDArray], float]

pair_losses: Registry[PairLoss] = Registry("loss")


@pair_losses.decorator("disagreement")
def disagreement(reference: NDArray, changed: NDArray) -> float:
    """Share of positions whose largest entry of the last axis differs (class scores, [..., classes])."""
    return float((reference.argmax(-1) != changed.argmax(-1)).mean())


@pair_losses.decorator("cosine-distance")
def cosine_distance(reference: NDArray, changed: NDArray) -> float:
    """Mean of 1 - cos over vectors on the last axis (embeddings, [..., width])."""
    a, b = reference.astype(np.float64), changed.astype(np.float64)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return float(np.mean(1.0 - (a * b).sum(-1) / np.maximum(norms, 1e-30)))


@pair_losses.decorator("relative-error")
def relative_error(reference: NDArray, changed: NDArray) -> float:
    """Root mean square of the difference over that of the reference (anything else)."""
    a, b = reference.astype(np.float64), changed.astype(np.float64)
    return float(np.sqrt(np.square(a - b).sum() / max(np.square(a).sum(), 1e-30)))


def sqnr_db(reference: NDArray, changed: NDArray) -> float:
    """Signal to quantization noise ratio, 20 log10(rms(reference) / rms(difference)), in dB; inf when equal."""
    error = relative_error(reference, changed)
    return float("inf") if error == 0.0 else -20.0 * float(np.log10(error))


def choose_loss(outputs: Sequence[NDArray]) -> str:
    """Name the loss that fits an output: unit vectors are embeddings, float [..., >= 2] are scores.

    Args:
        outputs: The output's arrays over some feeds.
    """
    first = outputs[0]
    if first.dtype.kind != "f" or first.ndim < 2 or first.shape[-1] < 2:
        return "relative-error"
    lengths = np.concatenate([np.linalg.norm(array.astype(np.float64), axis=-1).ravel() for array in outputs])
    if np.allclose(lengths, 1.0, atol=1e-3):
        return "cosine-distance"
    return "disagreement" if first.ndim == 2 else "relative-error"
