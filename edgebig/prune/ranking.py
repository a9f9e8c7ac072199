"""The order in which a layer's blocks go, band by band, and what each costs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebig.prune.moments import Array, Problem
from edgebig.prune.patterns import Pattern


@dataclass(frozen=True)
class Band:
    """The outputs that share their zeros, and the order in which their blocks go.

    Attributes:
        order: Block numbers, the first to go first; blocks that must stay are not in it.
        cost: What each costs when those before it are gone, in the method's own unit; not negative.
    """

    order: NDArray[np.int64]
    cost: Array


Ranking = tuple[Band, ...]
"""One band per band of the pattern, in order."""

Method = Callable[[Problem, Array, Pattern, float, float], Ranking]
"""Ranks a layer's blocks.

Args:
    problem: Averages over the samples.
    matrix: The original weights, [groups * outputs, inputs].
    pattern: The pattern; its bands lie within groups.
    share: The ridge, over the mean variance of the inputs.
    floor: Share of the blocks of a band that stay, at least one.
"""


def kept_at_least(blocks: int, floor: float) -> int:
    """Blocks of a band that must stay: a band is never emptied."""
    return max(1, int(np.ceil(blocks * floor)))


def block_sums(scores: Array, pattern: Pattern) -> Array:
    """Sums of a score per weight [outputs, inputs] over blocks, [bands, blocks]."""
    rows = np.add.reduceat(scores, np.arange(0, scores.shape[0], pattern.rows), axis=0)
    return np.add.reduceat(rows, np.arange(0, scores.shape[1], pattern.columns), axis=1)


def rank_by_score(scores: Array, pattern: Pattern, floor: float) -> Ranking:
    """Rank by a score per weight that does not depend on what else is gone; the least mean score goes first."""
    sums = block_sums(scores, pattern)
    means = sums / pattern.sizes(*scores.shape)
    stay = kept_at_least(sums.shape[1], floor)
    bands = []
    for total, mean in zip(sums, means, strict=True):
        order = np.argsort(mean, kind="stable")[: len(mean) - stay]
        bands.append(Band(order, total[order]))
    return tuple(bands)
