"""Sums of 8-bit products as x86 without VNNI makes them: vpmaddubsw adds neighbours in saturating 16 bits."""

import numba
import numpy as np
from numpy.typing import NDArray

LOW, HIGH = -(1 << 15), (1 << 15) - 1


@numba.njit(cache=True, nogil=True)
def _lost(activations: NDArray, weights: NDArray, lost: NDArray) -> None:
    rows, inputs = activations.shape
    for row in range(rows):
        for output in range(weights.shape[0]):
            for index in range(0, inputs, 2):
                pair = np.int32(activations[row, index]) * np.int32(weights[output, index])
                pair += np.int32(activations[row, index + 1]) * np.int32(weights[output, index + 1])
                if pair > HIGH:
                    lost[row, output] += HIGH - pair
                elif pair < LOW:
                    lost[row, output] += LOW - pair


def lost_by_saturation(activations: NDArray[np.uint8], weights: NDArray[np.int8]) -> NDArray[np.int32]:
    """What saturation takes from (negative: adds to) every sum of products.

    Args:
        activations: uint8 [rows, inputs].
        weights: int8 [outputs, inputs], inputs in the order in which the kernel adds.

    Returns:
        int32 [rows, outputs]: the saturated sums minus the exact ones.
    """
    padding = ((0, 0), (0, activations.shape[1] % 2))
    lost = np.zeros((len(activations), len(weights)), np.int32)
    _lost(np.ascontiguousarray(np.pad(activations, padding)), np.ascontiguousarray(np.pad(weights, padding)), lost)
    return lost


def worst_case(weights: NDArray, highest: int = 255) -> NDArray[np.int64]:
    """The most that saturation can take from a sum, whatever the activations are.

    Args:
        weights: Integers [outputs, inputs] in the kernel's order.
        highest: The largest activation.

    Returns:
        int64 [outputs]; 0 where no pair can leave 16 bits.
    """
    padded = np.pad(weights.astype(np.int64), ((0, 0), (0, weights.shape[1] % 2)))
    positive, negative = np.maximum(padded, 0), np.maximum(-padded, 0)
    over = np.maximum(highest * (positive[:, 0::2] + positive[:, 1::2]) - HIGH, 0).sum(axis=1)
    under = np.maximum(highest * (negative[:, 0::2] + negative[:, 1::2]) + LOW, 0).sum(axis=1)
    return np.maximum(over, under)
