"""Backward elimination of blocks by brute force: every removal is tried, and everything refitted each time."""

import numpy as np
from numpy.typing import NDArray

from tests.naive.prune import ridge_fit


def remove_in_order(
    x: NDArray, t: NDArray, weights: NDArray, columns: int, ridge: float, stay: int
) -> tuple[list[int], list[float]]:
    """Blocks in the order in which they go, and how much each raises the least |t - x w|^2 / n + ridge |w - weights|^2.

    Args:
        x: [n, inputs].
        t: [n, outputs].
        weights: [outputs, inputs], one band.
        columns: Inputs of a block.
        ridge: The ridge.
        stay: How many blocks stay.
    """
    kept = list(range(-(-x.shape[1] // columns)))
    order, rises = [], []
    now = _least(x, t, weights, kept, columns, ridge)
    while len(kept) > stay:
        best = min((_least(x, t, weights, [b for b in kept if b != gone], columns, ridge), gone) for gone in kept)
        rises.append(best[0] - now)
        now = best[0]
        order.append(best[1])
        kept.remove(best[1])
    return order, rises


def _least(x: NDArray, t: NDArray, weights: NDArray, kept: list[int], columns: int, ridge: float) -> float:
    mask = np.zeros(weights.shape, bool)
    for block in kept:
        mask[:, block * columns : (block + 1) * columns] = True
    w = ridge_fit(x, t, weights, mask, ridge)
    return float(((t - x @ w.T) ** 2).sum() / len(x) + ridge * ((w - weights) ** 2).sum())
