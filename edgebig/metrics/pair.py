"""How far a changed model's outputs are from the original's, without labels.

Each metric takes two arrays of one output, the original's and the changed model's, over the same samples, and gives
a loss: 0 is equal, more is worse.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgebig.errors import UsageError
from edgebig.registry import Registry

PairLoss = Callable[[NDArray, NDArray], float]

pair_losses: Registry[PairLoss] = Registry("loss")


@pair_losses.decorator("disagreement")
def disagreement(reference: NDArray, changed: NDArray) -> float:
    """Share of positions whose largest entry of the last axis differs (class scores, [..., classes])."""
    return float((reference.argmax(-1) != changed.argmax(-1)).mean())


@pair_losses.decorator("cosine-distance")
def cosine_distance(reference: NDArray, changed: NDArray) -> float:
    """Mean of 1 - cos over vectors on the last axis (embeddings, [..., width]); equal vectors, zero too, give 0."""
    a, b = reference.astype(np.float64), changed.astype(np.float64)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    distance = 1.0 - (a * b).sum(-1) / np.maximum(norms, 1e-30)
    return float(np.mean(np.where((a == b).all(-1), 0.0, np.maximum(distance, 0.0))))


@pair_losses.decorator("relative-error")
def relative_error(reference: NDArray, changed: NDArray) -> float:
    """Root mean square of the difference over that of the reference (anything else)."""
    a, b = reference.astype(np.float64), changed.astype(np.float64)
    return float(np.sqrt(np.square(a - b).sum() / max(np.square(a).sum(), 1e-30)))


@pair_losses.decorator("mismatch")
def mismatch(reference: NDArray, changed: NDArray) -> float:
    """Share of elements that are not equal (labels, ids, masks, strings)."""
    return float(np.mean(reference != changed))


def sqnr_db(reference: NDArray, changed: NDArray) -> float:
    """Signal to quantization noise ratio, 20 log10(rms(reference) / rms(difference)), in dB; inf when equal."""
    error = relative_error(reference, changed)
    return float("inf") if error == 0.0 else -20.0 * float(np.log10(error))


def guarded_loss(name: str, reference: NDArray, changed: NDArray) -> float:
    """A loss for arrays as models really give them.

    Args:
        name: A name out of `pair_losses`.
        reference: The original's output.
        changed: The changed model's output over the same samples.

    Returns:
        The loss; 1.0 where the shapes differ (data-dependent outputs: nothing can be matched), 0.0 where both are
        empty, infinity where the changed output holds NaN or infinity and the original's does not. Entries that are
        not finite in the original (masked scores) are left out of both.
    """
    if reference.shape != changed.shape:
        return 1.0
    if reference.size == 0:
        return 0.0
    if reference.dtype.kind == "f":
        finite = np.isfinite(reference)
        if not np.isfinite(changed[finite]).all():
            return float("inf")
        if not finite.all():
            floor = reference[finite].min() if finite.any() else 0
            reference, changed = np.where(finite, reference, floor), np.where(finite, changed, floor)
    return pair_losses.get(name)(reference, changed)


def check_loss(name: str, output: str, outputs: Sequence[NDArray]) -> str:
    """Return `name` if that loss can judge the output.

    Raises:
        UnknownNameError: No such loss.
        UsageError: It cannot: no classes on the last axis, or no numbers.
    """
    pair_losses.get(name)
    array = outputs[0]
    text = array.dtype.kind in "OUS"
    flat = array.ndim == 0 or array.shape[-1] < 2
    if (text and name != "mismatch") or (flat and name in ("disagreement", "cosine-distance")):
        raise UsageError(
            f"loss {name!r} cannot judge output {output!r} ({array.dtype} {list(array.shape)}). "
            f"Use {choose_loss(outputs)!r}, or 'auto'."
        )
    return name


def choose_loss(outputs: Sequence[NDArray]) -> str:
    """Name the loss that fits an output.

    Unit vectors are embeddings; other float [samples, >= 2] are class scores; int32, int64, bool and strings are
    labels or ids, whose distance means nothing; anything else is a signal.

    Args:
        outputs: The output's arrays over some feeds.
    """
    filled = [array for array in outputs if array.size]
    if not filled:
        return "mismatch"
    first = filled[0]
    if first.dtype.kind in "bOUS" or first.dtype in (np.int32, np.int64):
        return "mismatch"
    if first.dtype.kind != "f" or first.ndim < 2 or first.shape[-1] < 2:
        return "relative-error"
    unit = all(np.allclose(np.linalg.norm(array.astype(np.float64), axis=-1), 1.0, atol=1e-3) for array in filled)
    if unit and not all(_probabilities(array) for array in filled):  # a sure softmax has length 1 too
        return "cosine-distance"
    return "disagreement" if first.ndim == 2 else "relative-error"


def _probabilities(array: NDArray) -> bool:
    sums = array.astype(np.float64).sum(-1)
    return bool((array >= 0).all() and np.allclose(sums, 1.0, atol=1e-3))
