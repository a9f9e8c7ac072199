"""Weights and activations: blocks whose inputs are weak go first.

Sun et al., "A Simple and Effective Pruning Approach for Large Language Models" (2023): |w| * ||x||, here squared and
about the mean where a bias takes the mean up.
"""

import numpy as np

from edgebig.prune.moments import Array, Problem
from edgebig.prune.patterns import Pattern
from edgebig.prune.ranking import Ranking, rank_by_score


def wanda(problem: Problem, matrix: Array, pattern: Pattern, share: float, floor: float) -> Ranking:
    """Score w^2 times the variance of its input."""
    variance = np.diagonal(problem.inner, axis1=1, axis2=2)
    return rank_by_score(np.square(matrix) * variance.repeat(len(matrix) // len(variance), 0), pattern, floor)
