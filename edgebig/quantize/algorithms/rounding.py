"""Rounding with feedback: weights not rounded yet make up for the error of those that are.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers" (2022), for one
symmetric scale per output channel, inputs in the order of falling power, and with the rule of pairs: an integer whose
neighbour is rounded already may only take what the neighbour has left of 128.
"""

import numpy as np
from numpy.typing import NDArray

from edgebig.quantize.weight_search_kernel import ANY_TWO, NEIGHBOURS

Array = NDArray[np.float64]
# Columns whose effect on all later ones is gathered into one product.
LAZY = 64
DAMPING = 0.01
PAIR_LIMIT = 128


def round_with_feedback(weight: Array, inner: Array, scales: Array, *, limit: int, pairs: int) -> NDArray[np.int8]:
    """Round the weights of a layer.

    Args:
        weight: [groups, outputs, inputs].
        inner: X^T X / n of what the layer reads, [groups, inputs, inputs].
        scales: [groups, outputs].
        limit: The largest integer.
        pairs: See `edgebig.quantize.weight_search.pair_rule`.

    Returns:
        Integers, [groups, outputs, inputs].
    """
    groups, outputs, inputs = weight.shape
    order = np.argsort(-np.diagonal(inner, axis1=1, axis2=2), axis=1, kind="stable")
    factor = _inverse_factor(inner, order)
    left = np.take_along_axis(weight, order[:, None, :], axis=2).transpose(0, 2, 1).copy()
    rounded = np.full((groups, inputs + 1, outputs), np.nan)  # the last row stands for a neighbour that is not there
    partners = _partners(order)
    bound = min(limit, PAIR_LIMIT // 2) if pairs == ANY_TWO else limit
    for start in range(0, inputs, LAZY):
        stop = min(start + LAZY, inputs)
        errors = np.empty((groups, stop - start, outputs))
        for i in range(start, stop):
            low, high = -float(bound), float(bound)
            q = np.rint(left[:, i] / scales)
            if pairs == NEIGHBOURS:
                taken = np.nan_to_num(rounded[np.arange(groups), partners[:, i]], nan=0.0)
                q = np.clip(q, -PAIR_LIMIT - taken, PAIR_LIMIT - taken)
            q = np.clip(q, low, high)
            rounded[:, i] = q
            errors[:, i - start] = (left[:, i] - scales * q) / factor[:, i, i, None]
            left[:, i + 1 : stop] -= factor[:, i, i + 1 : stop, None] * errors[:, i - start, None, :]
        left[:, stop:] -= factor[:, start:stop, stop:].transpose(0, 2, 1) @ errors
    integers = np.empty((groups, outputs, inputs), np.int8)
    np.put_along_axis(integers, order[:, None, :], rounded[:, :inputs].transpose(0, 2, 1).astype(np.int8), axis=2)
    return integers


def output_error(weight: Array, integers: NDArray[np.int8], scales: Array, inner: Array) -> float:
    """Mean squared error of a layer's output, summed over its channels; shapes as in `round_with_feedback`."""
    difference = integers * scales[:, :, None] - weight
    return float(((difference @ inner) * difference).sum())


def _inverse_factor(inner: Array, order: NDArray) -> Array:
    """The upper Cholesky factors of the damped matrices' inverses, rows and columns in the given orders."""
    permuted = np.take_along_axis(np.take_along_axis(inner, order[:, :, None], axis=1), order[:, None, :], axis=2)
    mean = np.trace(permuted, axis1=1, axis2=2) / permuted.shape[1]
    damping = np.where(mean > 0, DAMPING * mean, 1.0)
    inverse = np.linalg.inv(permuted + damping[:, None, None] * np.eye(permuted.shape[1]))
    lower = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2)
    return np.asarray(lower.transpose(0, 2, 1), np.float64)


def _partners(order: NDArray) -> NDArray:
    """For each place in the orders, the place of the column's neighbour; one past the end where it has none."""
    groups, inputs = order.shape
    places = np.full((groups, inputs + 1), inputs)
    np.put_along_axis(places, order, np.broadcast_to(np.arange(inputs), order.shape), axis=1)
    neighbour = np.minimum(order ^ 1, inputs)
    return np.take_along_axis(places, neighbour, axis=1)
