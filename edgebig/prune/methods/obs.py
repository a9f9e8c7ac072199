"""Optimal brain surgeon on blocks: those go first whose loss the remaining weights can make good best.

Hassibi and Stork, "Second order derivatives for network pruning" (1992), on the layer's least squares problem, for
groups of weights and a few blocks at a time: with P the inverse of X^T X / n + ridge on the remaining inputs and W the
weights fitted to them, removing the inputs R raises the error by tr(W_R P_RR^-1 W_R^T); then
W -= W_R P_RR^-1 P_R: and P -= P_:R P_RR^-1 P_R:.
"""

import numpy as np

from edgebig.prune.least_squares import dense_optimum, ridge_of
from edgebig.prune.moments import Array, Problem
from edgebig.prune.patterns import Pattern
from edgebig.prune.ranking import Band, Ranking, kept_at_least

# Share of the remaining blocks of a band that go in one step; one block at a time is hardly better. Bands of one
# output are many, and each needs its own inverse.
STEP = 0.1
STEP_OF_SINGLE_OUTPUTS = 0.2
# Bands times inputs cubed, above which blocks are ranked once: some ten seconds on one core.
MOST_WORK = 1e11


def obs(problem: Problem, matrix: Array, pattern: Pattern, share: float, floor: float) -> Ranking:
    """Remove blocks band by band, refitting the rest after each step.

    Layers whose bands are too many for their width are ranked once, by what each block's removal alone would cost.
    """
    groups = len(problem.inner)
    inputs = matrix.shape[1]
    once = pattern.bands(len(matrix)) * float(inputs) ** 3 > MOST_WORK
    step = STEP if pattern.rows > 1 else STEP_OF_SINGLE_OUTPUTS
    bands: list[Band] = []
    for g, weights in enumerate(np.split(matrix, groups)):
        ridge = ridge_of(problem.inner[g], share)
        inverse, optimum = dense_optimum(problem.inner[g], problem.cross[g], weights, ridge)
        inverse, optimum = _padded(inverse, optimum, pattern.columns)
        for start in range(0, len(optimum), pattern.rows):
            band = optimum[start : start + pattern.rows]
            if once:
                bands.append(rank_once(band, inverse, pattern.columns, floor))
            else:
                bands.append(eliminate(band, inverse, pattern.columns, step, floor))
    return tuple(bands)


def rank_once(weights: Array, inverse: Array, columns: int, floor: float) -> Band:
    """Rank the blocks of one band by what the removal of each alone costs; arguments as `eliminate`."""
    scores = _block_scores(weights, inverse, columns)
    order = np.argsort(scores, kind="stable")[: len(scores) - kept_at_least(len(scores), floor)]
    return Band(order, scores[order])


def eliminate(weights: Array, inverse: Array, columns: int, step: float, floor: float) -> Band:
    """Remove the blocks of one band.

    Args:
        weights: The fitted weights, [outputs, inputs]; inputs are a multiple of `columns`.
        inverse: P, [inputs, inputs].
        columns: Inputs of a block.
        step: Share of the remaining blocks that go at a time, at least one.
        floor: Share of the blocks that stay, at least one.
    """
    alive = np.arange(weights.shape[1] // columns)
    stay = kept_at_least(len(alive), floor)
    order, costs = [], []
    while len(alive) > stay:
        scores = _block_scores(weights, inverse, columns)
        count = min(max(1, int(step * len(alive))), len(alive) - stay)
        going = np.argsort(scores, kind="stable")[:count]
        leaves = np.zeros(len(alive), bool)
        leaves[going] = True
        gone, rest = np.flatnonzero(leaves.repeat(columns)), np.flatnonzero(~leaves.repeat(columns))
        right = np.concatenate([inverse[np.ix_(gone, rest)], weights[:, gone].T], axis=1)
        solved = np.linalg.solve(inverse[np.ix_(gone, gone)], right)
        rise = max(float((right[:, len(rest) :] * solved[:, len(rest) :]).sum()), 0.0)
        order.append(alive[going])
        # The blocks of one step share its joint rise in proportion to their own scores.
        total = scores[going].sum()
        costs.append(rise * scores[going] / total if total > 0 else np.full(count, rise / count))
        weights = weights[:, rest] - weights[:, gone] @ solved[:, : len(rest)]
        inverse = inverse[np.ix_(rest, rest)] - inverse[np.ix_(rest, gone)] @ solved[:, : len(rest)]
        alive = alive[~leaves]
    if not order:
        return Band(np.zeros(0, np.int64), np.zeros(0))
    return Band(np.concatenate(order), np.concatenate(costs))


def _block_scores(weights: Array, inverse: Array, columns: int) -> Array:
    """tr(W_B P_BB^-1 W_B^T) of every block, [blocks]; not negative."""
    if columns == 1:
        return np.square(weights).sum(0) / np.maximum(np.diagonal(inverse), 1e-300)
    count = weights.shape[1] // columns
    tiles = inverse.reshape(count, columns, count, columns)[np.arange(count), :, np.arange(count)]
    parts = weights.reshape(-1, count, columns).transpose(1, 2, 0)
    scores: Array = (parts * np.linalg.solve(tiles, parts)).sum((1, 2))
    return np.maximum(scores, 0.0)


def _padded(inverse: Array, weights: Array, columns: int) -> tuple[Array, Array]:
    """Fill the last block with inputs that nothing depends on, so that all blocks are whole."""
    missing = -len(inverse) % columns
    if not missing:
        return inverse, weights
    size = len(inverse) + missing
    larger = np.eye(size)
    larger[: len(inverse), : len(inverse)] = inverse
    return larger, np.pad(weights, ((0, 0), (0, missing)))
