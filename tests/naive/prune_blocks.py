"""Loops over blocks of a matrix: their scores, and masks of those with the least."""

import numpy as np


def blocks_of(outputs: int, inputs: int, rows: int, columns: int) -> list[list[tuple[int, int]]]:
    """The places in every block, row by row of blocks."""
    found = []
    for top in range(0, outputs, rows):
        for left in range(0, inputs, columns):
            below, right = min(top + rows, outputs), min(left + columns, inputs)
            found.append([(i, j) for i in range(top, below) for j in range(left, right)])
    return found


def mask_without(weights: np.ndarray, rows: int, columns: int, zeros: int) -> np.ndarray:
    """Set blocks of least mean square to False until at least `zeros` places are; no row of blocks is emptied."""
    mask = np.ones(weights.shape, bool)
    blocks = blocks_of(*weights.shape, rows, columns)
    left = {}
    for block in blocks:
        left[block[0][0]] = left.get(block[0][0], 0) + 1
    for block in sorted(blocks, key=lambda block: sum(weights[i, j] ** 2 for i, j in block) / len(block)):
        if (~mask).sum() >= zeros:
            break
        if left[block[0][0]] > 1:
            left[block[0][0]] -= 1
            for i, j in block:
                mask[i, j] = False
    return mask
