"""Nearest resizing, one element at a time."""

import numpy as np
from numpy.typing import NDArray


def nearest(x: NDArray, rows: NDArray, columns: NDArray) -> NDArray:
    """y[n, r, c, k] = x[n, rows[r], columns[c], k]."""
    y = np.empty((x.shape[0], len(rows), len(columns), x.shape[3]), x.dtype)
    for n, r, c, k in np.ndindex(y.shape):
        y[n, r, c, k] = x[n, rows[r], columns[c], k]
    return y
