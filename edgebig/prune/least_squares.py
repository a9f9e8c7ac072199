"""Least squares on a given support: the kept weights that best give back the original's output.

For one group: argmin over W' with zeros outside the mask of ||T - X W'^T||^2 / n + r ||W' - W||^2, W the original
weights and r the ridge. Since the ridge pulls towards W on the support, the fit is never worse on the samples than W
with the zeros put in. Rows with one mask share one Cholesky factor.
"""

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from edgebig.prune.moments import Array, Problem

RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
DEFAULT_RIDGE = 1e-2
# Rows that the ridge is chosen on; more hardly change the choice.
JUDGED_ROWS = 64

Mask = NDArray[np.bool_]


def ridge_of(inner: Array, share: float) -> float:
    """The ridge for one group, from its share of the mean variance of the inputs; positive where all are constant."""
    level = float(np.trace(inner)) / max(len(inner), 1)
    return share * level if level > 0 else 1.0


def fit(problem: Problem, matrix: Array, mask: Mask, share: float) -> Array:
    """Fit a layer's weights.

    Args:
        problem: The averages over the samples.
        matrix: The original weights, [groups * outputs, inputs].
        mask: Which of them may be other than zero, likewise.
        share: The ridge, over the mean variance of the inputs.
    """
    groups = len(problem.inner)
    pairs = zip(np.split(matrix, groups), np.split(mask, groups), strict=True)
    return np.concatenate([_fit_group(problem, g, w, m, share) for g, (w, m) in enumerate(pairs)])


def error(problem: Problem, matrix: Array) -> float:
    """Mean squared error of the layer's output with these weights, summed over its channels."""
    total = 0.0
    for g, weights in enumerate(np.split(matrix, len(problem.inner))):
        total += _group_error(problem, g, weights)
    return total


def dense_optimum(inner: Array, cross: Array, matrix: Array, ridge: float) -> tuple[Array, Array]:
    """Of one group without zeros: the inverse of X^T X / n + ridge, and the fitted weights."""
    system = inner + ridge * np.eye(len(inner))
    factor = scipy.linalg.cho_factor(system, lower=True, check_finite=False)
    inverse = scipy.linalg.cho_solve(factor, np.eye(len(inner)), check_finite=False)
    inverse = (inverse + inverse.T) / 2
    return inverse, matrix + (cross.T - matrix @ inner) @ inverse


def choose_ridge(folds: tuple[Problem, Problem], matrix: Array, mask: Mask) -> float:
    """The ridge (as a share) whose fit on one fold errs least on the other, both ways; on some of the rows."""
    groups = len(folds[0].inner)
    chosen = np.unique(np.linspace(0, groups - 1, min(groups, 8)).astype(int))
    outputs = len(matrix) // groups
    rows = np.unique(np.linspace(0, outputs - 1, min(outputs, JUDGED_ROWS)).astype(int))
    losses = []
    for share in RIDGES:
        loss = 0.0
        for here, there in (folds, folds[::-1]):
            for g in chosen:
                index = g * outputs + rows
                part, other = _rows_of(here, g, rows), _rows_of(there, g, rows)
                loss += _group_error(other, 0, _fit_group(part, 0, matrix[index], mask[index], share))
        losses.append(loss)
    return RIDGES[int(np.argmin(losses))]


def _rows_of(problem: Problem, g: int, rows: NDArray) -> Problem:
    return Problem(problem.rows, problem.inner[g][None], problem.cross[g][None, :, rows], problem.power[g][None, rows])


def _group_error(problem: Problem, g: int, weights: Array) -> float:
    explained = 2 * float((weights * problem.cross[g].T).sum())
    return max(float(problem.power[g].sum()) - explained + float(((weights @ problem.inner[g]) * weights).sum()), 0.0)


def _fit_group(problem: Problem, g: int, matrix: Array, mask: Mask, share: float) -> Array:
    inner, ridge = problem.inner[g], ridge_of(problem.inner[g], share)
    start = matrix * mask
    residual = problem.cross[g].T - start @ inner
    result = start
    supports, of_row = np.unique(mask, axis=0, return_inverse=True)
    for index, support in enumerate(supports):
        kept = np.flatnonzero(support)
        if not len(kept):
            continue
        rows = np.flatnonzero(of_row.ravel() == index)
        system = inner[np.ix_(kept, kept)]
        system[np.diag_indices(len(kept))] += ridge
        factor = scipy.linalg.cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
        step = scipy.linalg.cho_solve(factor, residual[np.ix_(rows, kept)].T, check_finite=False)
        result[np.ix_(rows, kept)] += step.T
    return result
