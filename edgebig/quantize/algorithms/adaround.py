"""AdaRound: whether each weight is rounded up or down is learned by gradient descent.

Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization" (2020): with W = scale * (floor + h(V)),
h a stretched sigmoid, minimise
    mean of |(W - W_float) x|^2 / (the same of the nearest integers)  +  weight * sum of 1 - |2 h - 1|^beta
where beta falls, so that h is first free and then pushed to 0 or 1. The first term is a quadratic form in the second
moments of x, so that its gradient is exact and no samples need to be kept; Adam does the steps.
"""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebig.quantize.weight_search_kernel import ANY_TWO, NEIGHBOURS

Array = NDArray[np.float32]
PAIR_LIMIT = 128
STRETCH, LOWEST = 1.2, -0.1
REGULARISER = 0.01
WARM_UP = 0.2
FIRST_BETA, LAST_BETA = 20.0, 2.0
RATE, FIRST_MOMENT, SECOND_MOMENT, TINY = 0.1, 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Descent:
    """How long to descend.

    Attributes:
        steps: Steps of each layer.
        seconds: A layer that takes longer is given up.
    """

    steps: int = 300
    seconds: float = 60.0


def learn_rounding(
    weight: NDArray[np.float64],
    inner: NDArray[np.float64],
    scales: NDArray[np.float64],
    start: NDArray[np.int8],
    *,
    limit: int,
    pairs: int,
    descent: Descent,
) -> NDArray[np.int8]:
    """Round the weights of a layer.

    Args:
        weight: [groups, outputs, inputs].
        inner: X^T X / n of what the layer reads, [groups, inputs, inputs].
        scales: [groups, outputs].
        start: Integers that obey the rule of pairs, [groups, outputs, inputs].
        limit: The largest integer.
        pairs: See `edgebig.quantize.weight_search.pair_rule`.
        descent: How long.

    Returns:
        Integers, of the shape of `start`; `start` itself where the time ran out.
    """
    steps = scales.astype(np.float32)[:, :, None]
    w, h_matrix = weight.astype(np.float32), inner.astype(np.float32)
    below = np.floor(w / steps)
    free = movable(below, start, limit=limit, pairs=pairs)
    base = np.where(free, below, start.astype(np.float32))
    share = np.clip(w / steps - below, 0.01, 0.99)
    v = np.log((share - LOWEST) / (STRETCH + LOWEST - share))
    nearest = start * steps - w
    unit = np.maximum(((nearest @ h_matrix) * nearest).sum(axis=2, keepdims=True), np.float32(1e-20))
    first, second = np.zeros_like(v), np.zeros_like(v)
    end = time.monotonic() + descent.seconds
    for step in range(descent.steps):
        if time.monotonic() > end:
            return start
        slope = _slope(v, base, steps, w, h_matrix, unit, step / descent.steps) * free
        first = FIRST_MOMENT * first + (1 - FIRST_MOMENT) * slope
        second = SECOND_MOMENT * second + (1 - SECOND_MOMENT) * slope**2
        mean, power = first / (1 - FIRST_MOMENT ** (step + 1)), second / (1 - SECOND_MOMENT ** (step + 1))
        v -= RATE * mean / (np.sqrt(power) + TINY)
    return (base + (free & (v > 0))).astype(np.int8)


def _slope(v: Array, base: Array, steps: Array, w: Array, inner: Array, unit: Array, progress: float) -> Array:
    """The gradient by V at a share of all steps."""
    sigmoid = 1 / (1 + np.exp(-v))
    stretched = STRETCH * sigmoid + LOWEST
    h = np.clip(stretched, 0, 1)
    slope = 2 * steps * (((base + h) * steps - w) @ inner) / unit
    past = (progress - WARM_UP) / (1 - WARM_UP)
    if past > 0:
        beta = LAST_BETA + 0.5 * (FIRST_BETA - LAST_BETA) * (1 + np.cos(past * np.pi))
        centred = 2 * h - 1
        slope = slope - REGULARISER * 2 * beta * np.abs(centred) ** (beta - 1) * np.sign(centred)
    inside = (stretched > 0) & (stretched < 1)
    return np.asarray(slope * STRETCH * sigmoid * (1 - sigmoid) * inside, np.float32)


def movable(below: Array, start: NDArray[np.int8], *, limit: int, pairs: int) -> NDArray[np.bool_]:
    """Which weights may be rounded either way, whatever the others do; the rest keep their integers.

    Args:
        below: The weights over their scales, rounded down.
        start: Integers that obey the rule of pairs.
        limit: The largest integer.
        pairs: See `edgebig.quantize.weight_search.pair_rule`.
    """
    free = (start >= below) & (start <= below + 1) & (below >= -limit) & (below + 1 <= limit)
    if pairs == ANY_TWO:
        half = PAIR_LIMIT // 2
        return (
            free
            & (np.abs(start.astype(np.int32)).max(axis=2, keepdims=True) <= half)
            & (below >= -half)
            & (below < half)
        )
    if pairs == NEIGHBOURS and below.shape[2] > 1:
        whole = below.shape[2] // 2 * 2
        low = below[:, :, 0:whole:2] + below[:, :, 1:whole:2]
        fits = np.repeat((low >= -PAIR_LIMIT) & (low + 2 <= PAIR_LIMIT), 2, axis=2)
        # A pair moves as a whole or not at all: one that stays may be anywhere that `start` allows.
        both = np.repeat(free[:, :, 0:whole:2] & free[:, :, 1:whole:2], 2, axis=2)
        free = free.copy()
        free[:, :, :whole] &= fits & both
    return free
