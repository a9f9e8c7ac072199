"""One layer's fit: the ridge, the mask of its weights, the weights and the biases."""

import numpy as np
from numpy.typing import NDArray

from edgebig.prune.allocation import Candidate, spend
from edgebig.prune.collect import Observed
from edgebig.prune.layers import Layer
from edgebig.prune.least_squares import DEFAULT_RIDGE, Mask, choose_ridge, fit
from edgebig.prune.methods.wanda import wanda
from edgebig.prune.moments import Array
from edgebig.prune.patterns import Pattern


def mask_of(kept: NDArray[np.bool_], layer: Layer, pattern: Pattern) -> Mask:
    """The mask of a layer's matrix from that of its blocks."""
    return pattern.expand(kept, *layer.shape)


def ridge_for(entry: Observed, matrix: Array, pattern: Pattern, sparsity: float) -> float:
    """The ridge for a layer at about this sparsity, chosen by cross-validation where there are two feeds or more."""
    folds = entry.folds()
    if folds is None:
        return DEFAULT_RIDGE
    mask = np.ones(matrix.shape, bool)
    if sparsity > 0:
        ranking = wanda(entry.problem(), matrix, pattern, DEFAULT_RIDGE, 0.0)
        shape = (matrix.shape[0], matrix.shape[1])
        kept = spend([Candidate(ranking, shape)], pattern, sparsity * matrix.size, floor=0.0)[0]
        mask = pattern.expand(kept, *shape)
    return choose_ridge(folds, matrix, mask)


def fit_layer(
    entry: Observed, matrix: Array, mask: Mask, share: float, *, compensate: bool
) -> tuple[Array, dict[str, Array]]:
    """The weights with zeros outside the mask, and biases by the own outputs of the sites.

    Args:
        entry: The layer's moments.
        matrix: Its original weights, [outputs, inputs].
        mask: Which of them may be other than zero.
        share: The ridge, over the mean variance of the inputs.
        compensate: Whether weights and biases are fitted; otherwise the kept ones stay as they are.
    """
    if not compensate:
        return matrix * mask, {}
    fitted = fit(entry.problem(), matrix, mask, share)
    return fitted, entry.biases(fitted)
