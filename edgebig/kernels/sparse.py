"""Convolution and matrix product with block-sparse weights: blocks of 16 filters x 4 inputs that are zero are skipped.

The activations are those of the dense kernel: the same panel, or the tensor itself. For each 16 filters an index lists
where in a row of activations the kept blocks lie; a step of the tile reads one entry, repeats the four activations of
each row in a vector and multiplies them by the block.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from edgebig.kernels import dots
from edgebig.kernels.dense import Conv
from edgebig.kernels.dense_work import PANEL_BYTES
from edgebig.kernels.errors import KernelError
from edgebig.kernels.sparse_pack import FILTERS, INPUTS, density, pack_blocks
from edgebig.kernels.sparse_tile import SparseTile
from edgebig.kernels.sparse_work import SparseWork
from edgebig.kernels.vector import function_of

__all__ = ["SparseConv", "density", "matmul", "pays"]

# Measured by bench/kernels/sparse.py on AVX2 (1, 8 and 64 rows, two convolutions): with all blocks kept the sparse
# kernel has 0.9 to 1.0 times the speed of the dense one, with 90 % of them 1.0 to 1.1 times, with 80 % 1.1 to 1.3.
_PAYS_BELOW = 0.9


def pays(kept: float) -> bool:
    """Whether weights of this density run faster in the sparse kernel than in the dense one.

    Args:
        kept: `density(weights)`.
    """
    return kept < _PAYS_BELOW


@dataclass(frozen=True)
class SparseConv(Conv):
    """A convolution whose weights are sparse. The attributes are those of `Conv`; there are no groups and no floats."""

    operands: ClassVar[tuple[str, ...]] = ("x", "weights", "index", "starts", "bias", "multiplier", "y")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.groups != 1 or self._dot.real:
            raise KernelError(f"sparse convolutions have one group, and no floats: {self}")

    @property
    def _pitch(self) -> int:
        """As for dense weights; a row of the panel has room for the whole last block."""
        pitch, block = super()._pitch, INPUTS * self._dot.value_bytes
        return pitch if self._direct else -(-pitch // block) * block

    @property
    def _vectors(self) -> int:
        return FILTERS // self._dot.lanes

    @property
    def _tile_rows(self) -> int:
        """Rows of a tile: as many as fit the registers, fewer where that wastes less on the last tile."""
        most = self._dot.rows * self._dot.vectors // self._vectors
        most = max(1, min(most, self.rows, most if self._direct else PANEL_BYTES // self._pitch))
        return min(range(1, most + 1), key=lambda rows: (-(-self.rows // rows) * (rows + 1), -rows))

    def constants(
        self,
        weights: NDArray[np.generic],
        bias: NDArray[np.generic] | None,
        multiplier: ArrayLike,
        weight_zero_point: ArrayLike = 0,
    ) -> dict[str, NDArray[Any]]:
        """The constant operands, packed; arguments and errors are those of `Conv.constants`.

        Returns:
            Arrays for "weights", "index", "starts", "bias" and "multiplier".
        """
        dense = super().constants(weights, bias, multiplier, weight_zero_point)
        zero_point = np.broadcast_to(np.asarray(weight_zero_point, np.int32), (self.filters,))
        values, index, starts = pack_blocks(weights.astype(np.int32) - zero_point[:, None, None, None], self._dot)
        packed = {"weights": values, "index": index, "starts": starts}
        for name in ("bias", "multiplier"):
            packed[name] = np.zeros(self.work.units * FILTERS, dense[name].dtype)
            packed[name][: self.filters] = dense[name][: self.filters]
        return packed

    def build(self) -> Callable[..., Any]:
        """The function `run(x, weights, index, starts, bias, multiplier, y, task)`.

        Raises:
            KernelError: The processor lacks the dot product.
        """
        if not dots.runs(self._dot):
            known = ", ".join(dot.name for dot in dots.available())
            raise KernelError(f"this processor has no {self.dot}; it has {known}")
        work = function_of(8, self.work.emit)

        @njit
        def run(x, weights, index, starts, bias, multiplier, y, task):  # type: ignore[no-untyped-def]
            work(x, weights, index, starts, bias, multiplier, y, task)

        return run

    @property
    def work(self) -> SparseWork:  # type: ignore[override]
        """The code that `build` compiles."""
        dense = super().work
        pitches = (dense.tile.a_pitch, dense.tile.y_pitch)
        tile = SparseTile(self._dot, dense.tile.rows, FILTERS, *pitches, self.output, self.low, self.high)
        return SparseWork(dense.panel, tile, self.filters, self.rows, dense.y_bytes, self.tasks)


def matmul(dot: str, rows: int, inner: int, columns: int, **options: Any) -> SparseConv:
    """The product of x [rows, inner] and weights [columns, inner, 1, 1]; options as `Conv` has them."""
    return SparseConv(dot, batch=1, height=rows, width=1, channels=inner, filters=columns, **options)
