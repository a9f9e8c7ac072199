"""Magnitude: blocks with the least sum of squares go first."""

import numpy as np

from edgebig.prune.moments import Array, Problem
from edgebig.prune.patterns import Pattern
from edgebig.prune.ranking import Ranking, rank_by_score


def magnitude(problem: Problem, matrix: Array, pattern: Pattern, share: float, floor: float) -> Ranking:
    """Score w^2."""
    return rank_by_score(np.square(matrix), pattern, floor)
