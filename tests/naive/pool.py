"""Pooling, one element at a time."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]


def windows(
    x: NDArray, kernel: Pair, strides: Pair, pads: tuple[int, int, int, int], dilations: Pair
) -> Iterator[tuple[tuple[int, int, int, int], list[Any]]]:
    """Of every window and channel of an NHWC image: where its result goes, and the elements inside the image."""
    batch, height, width, channels = x.shape
    rows = (height + pads[0] + pads[2] - (kernel[0] - 1) * dilations[0] - 1) // strides[0] + 1
    columns = (width + pads[1] + pads[3] - (kernel[1] - 1) * dilations[1] - 1) // strides[1] + 1
    for n, r, c, k in np.ndindex(batch, rows, columns, channels):
        inside = []
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                p, q = r * strides[0] - pads[0] + i * dilations[0], c * strides[1] - pads[1] + j * dilations[1]
                if 0 <= p < height and 0 <= q < width:
                    inside.append(x[n, p, q, k])
        yield (n, r, c, k), inside


def pooled(reduce: Callable[[list[Any]], Any], kind: Any, *arguments: Any) -> NDArray:
    """Every window reduced by a function of the elements inside; the other arguments are those of `windows`."""
    found = dict(windows(*arguments))
    shape = tuple(1 + max(place[axis] for place in found) for axis in range(4))
    y = np.zeros(shape, kind)
    for place, inside in found.items():
        y[place] = reduce(inside)
    return y


def mean(inside: list[Any], divisor: int, multiplier: float, zero_point: int) -> Fraction:
    """The mean of bytes times a multiplier, not rounded."""
    return Fraction(float(np.float32(multiplier))) * sum(int(value) - zero_point for value in inside) / divisor
