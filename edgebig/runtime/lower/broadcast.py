"""How the second operand of an elementwise kernel lies over the first: everywhere, once per row, or one number."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.plan import Order


@dataclass(frozen=True)
class Broadcast:
    """The fields of an elementwise kernel: a is [rows, columns], b is [rows / b_repeat, b_columns].

    Attributes:
        rows, columns: Of a and the result, in memory order.
        b_repeat: Neighbouring rows of a that share a row of b.
        b_columns: Columns of b: as many as a (0), or 1.
    """

    rows: int
    columns: int
    b_repeat: int
    b_columns: int

    @property
    def fields(self) -> dict[str, Any]:
        """As keyword arguments of a kernel."""
        return dict(self.__dict__)


def broadcast(shape: tuple[int, ...], other: tuple[int, ...], order: Order) -> Broadcast:
    """Fit an operand to another.

    Args:
        shape: Of the first operand and the result.
        other: Of the second; broadcast to it by ONNX's rules.
        order: How both lie in memory.

    Raises:
        Refusal: The second repeats in a way that no kernel has.
    """
    padded = (1,) * (len(shape) - len(other)) + other
    sizes = [shape[axis] for axis in order if shape[axis] != 1]
    repeats = [padded[axis] == 1 for axis in order if shape[axis] != 1]
    if len(padded) > len(shape) or any(p not in (1, s) for p, s in zip(padded, shape, strict=True)):
        raise Refusal("its second input does not fit the first")
    total = prod(sizes)
    if not any(repeats):
        return Broadcast(1, total, 1, 0)
    if all(repeats):
        return Broadcast(1, total, 1, 1)
    # Memory order as runs of axes that all repeat or all do not: [given][repeats][given] is what kernels take.
    first = repeats.index(True)
    last = len(repeats) - repeats[::-1].index(True)
    if not all(repeats[first:last]):
        raise Refusal("its second input repeats along separate axes")
    repeat, columns = prod(sizes[first:last]), prod(sizes[last:])
    outer = prod(sizes[:first])
    if columns == 1:
        return Broadcast(outer, repeat, 1, 1)
    return Broadcast(outer * repeat, columns, repeat, 0)


def in_order(array: NDArray, rank: int, order: Order) -> NDArray:
    """A constant operand laid out as the tensors it meets."""
    padded = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return np.ascontiguousarray(padded.transpose(order))
