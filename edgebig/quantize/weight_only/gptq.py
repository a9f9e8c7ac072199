"""GPTQ: round the weights of one input after the other, and let those not rounded yet make up for the error.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers" (2022), with inputs
in the order of falling power ("activation order"). Scales and zero points are chosen beforehand, so that inputs of any
order keep the scale of their block.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]
# Inputs whose updates of all later ones are gathered into one product.
LAZY = 128


@dataclass(frozen=True)
class Grid:
    """The numbers that a weight may take.

    Attributes:
        scales: float32 [outputs, blocks].
        points: uint8 [outputs, blocks].
        levels: The largest integer.
        block_size: Inputs that share a scale.
    """

    scales: NDArray[np.float32]
    points: NDArray[np.uint8]
    levels: int
    block_size: int


def round_with_feedback(weight: NDArray[np.float32], hessian: Array, grid: Grid, damping: float) -> NDArray[np.uint8]:
    """Round.

    Args:
        weight: [outputs, inputs].
        hessian: X^T X / n of the layer's inputs, [inputs, inputs].
        grid: What to round to.
        damping: This share of the mean of the Hessian's diagonal is added to the diagonal.

    Returns:
        Integers 0 .. levels, [outputs, inputs].
    """
    outputs, inputs = weight.shape
    power = np.diag(hessian)
    order = np.argsort(-power, kind="stable")
    factor = _inverse_factor(hessian[np.ix_(order, order)], damping)
    # Inputs as rows: each step then reads and writes whole rows.
    left = weight.T[order].astype(np.float32)
    scales, points = grid.scales.T, grid.points.T.astype(np.float32)
    integers = np.empty((inputs, outputs), np.uint8)
    for start in range(0, inputs, LAZY):
        stop = min(start + LAZY, inputs)
        errors = np.empty((stop - start, outputs), np.float32)
        for i in range(start, stop):
            block = order[i] // grid.block_size
            scale, point = scales[block], points[block]
            q = np.clip(np.rint(left[i] / scale) + point, 0, grid.levels)
            integers[order[i]] = q
            errors[i - start] = (left[i] - scale * (q - point)) / factor[i, i]
            left[i + 1 : stop] -= factor[i, i + 1 : stop, None] * errors[i - start]
        left[stop:] -= factor[start:stop, stop:].T @ errors
    return integers.T


def _inverse_factor(hessian: Array, damping: float) -> NDArray[np.float32]:
    """The upper Cholesky factor of the damped Hessian's inverse."""
    size = len(hessian)
    diagonal = np.diag(hessian)
    mean = float(diagonal.mean())
    damped = hessian + np.eye(size) * (damping * mean if mean > 0 else 1.0)
    lower = linalg.cholesky(damped, lower=True)
    inverse = linalg.cho_solve((lower, True), np.eye(size))
    return linalg.cholesky((inverse + inverse.T) / 2, lower=False).astype(np.float32)
