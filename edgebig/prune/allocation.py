"""Spend a sparsity on blocks: those with the least cost per weight (or multiplication) go, over all layers at once.

Within a band, blocks go in the order of its ranking. Their costs are replaced by the slopes of the lower convex hull
of the band's cumulative cost, which never fall, so that taking the cheapest blocks first takes a beginning of every
band's order; of all ways to spend as much on the hulls this one costs least.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebig.prune.moments import Array
from edgebig.prune.patterns import Pattern
from edgebig.prune.ranking import Ranking, kept_at_least


@dataclass(frozen=True)
class Candidate:
    """A layer whose blocks may go.

    Attributes:
        ranking: Its bands.
        shape: Rows and columns of its matrix.
        price: What a unit of its method's cost does to the model's outputs.
        worth: What the sparsity counts, per weight: 1, or multiplications.
    """

    ranking: Ranking
    shape: tuple[int, int]
    price: float = 1.0
    worth: float = 1.0


def spend(candidates: Sequence[Candidate], pattern: Pattern, amount: float, *, floor: float) -> list[NDArray[np.bool_]]:
    """Choose the blocks that stay.

    Args:
        candidates: The layers.
        pattern: The pattern.
        amount: How much goes, in weights times `worth`; met within one block where the floor allows.
        floor: Share of the blocks of a band that stay, at least one.

    Returns:
        Which blocks stay, [bands, blocks] per layer.
    """
    kept = [np.ones((len(c.ranking), pattern.blocks(c.shape[1])), bool) for c in candidates]
    slopes, values, places = [], [], []
    for layer, candidate in enumerate(candidates):
        sizes = pattern.sizes(*candidate.shape) * candidate.worth
        for number, band in enumerate(candidate.ranking):
            order = band.order[: sizes.shape[1] - kept_at_least(sizes.shape[1], floor)]
            if not len(order):
                continue
            size = sizes[number, order]
            slopes.append(candidate.price * hull_slopes(size, band.cost[: len(order)]))
            values.append(size)
            places.append(np.stack([np.full(len(order), layer), np.full(len(order), number), order], axis=1))
    if not slopes:
        return kept
    by_price = np.argsort(np.concatenate(slopes), kind="stable")
    spent = np.concatenate([[0.0], np.cumsum(np.concatenate(values)[by_price])])
    count = int(np.argmin(np.abs(spent - amount)))
    for layer, number, block in np.concatenate(places)[by_price[:count]]:
        kept[layer][number, block] = False
    return kept


def hull_slopes(sizes: Array, costs: Array) -> Array:
    """Slope of the lower convex hull of cumulative cost over cumulative size, at every step.

    Args:
        sizes: Of each step, positive.
        costs: Of each step.

    Returns:
        Slopes that never fall.
    """
    x = np.concatenate([[0.0], np.cumsum(sizes)])
    y = np.concatenate([[0.0], np.cumsum(costs)])
    corners = [0]
    for i in range(1, len(x)):
        while len(corners) > 1 and _above(x, y, corners[-2], corners[-1], i):
            corners.pop()
        corners.append(i)
    slopes = np.empty(len(sizes))
    for start, end in itertools.pairwise(corners):
        slopes[start:end] = (y[end] - y[start]) / (x[end] - x[start])
    # Rounding may let equal slopes fall by a hair, which would break the order within the band.
    return np.maximum.accumulate(slopes)


def zeros_of(kept: NDArray[np.bool_], pattern: Pattern, shape: tuple[int, int]) -> int:
    """Weights in the blocks that go."""
    return int((pattern.sizes(*shape) * ~kept).sum())


def _above(x: Array, y: Array, a: int, b: int, c: int) -> bool:
    """Whether point b lies on or above the line from a to c."""
    return bool((y[b] - y[a]) * (x[c] - x[a]) >= (y[c] - y[a]) * (x[b] - x[a]))
