"""Weights in the order that tiles read them: [group][block of filters][element][vector][lane][value of the element]."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebig.kernels.dots import Dot, inner_rows
from edgebig.kernels.errors import KernelError


@dataclass(frozen=True)
class Blocks:
    """How the filters of one group are cut into blocks of one tile's width.

    Attributes:
        dot: How the tile multiplies.
        vectors: Vectors of weights in a full block.
        filters: Filters of the group.
        inner: Weights of a filter.
    """

    dot: Dot
    vectors: int
    filters: int
    inner: int

    @property
    def width(self) -> int:
        """Filters of a full block."""
        return self.vectors * self.dot.lanes

    @property
    def full(self) -> int:
        """Full blocks."""
        return self.filters // self.width

    @property
    def rest(self) -> int:
        """Filters of the last block if it is not a full one."""
        return self.filters % self.width

    @property
    def rest_vectors(self) -> int:
        """Vectors of weights of that block."""
        return -(-self.rest // self.dot.lanes)

    @property
    def count(self) -> int:
        """Blocks of a group."""
        return self.full + (self.rest > 0)

    @property
    def padded(self) -> int:
        """Filters of a group with those that fill the last vector."""
        return self.full * self.width + self.rest_vectors * self.dot.lanes

    @property
    def depth(self) -> int:
        """32-bit elements of a filter."""
        return -(-self.inner // self.dot.group)

    @property
    def block_bytes(self) -> int:
        """Bytes of a full block's weights."""
        return self.dot.element_bytes * self.depth * self.width

    @property
    def group_bytes(self) -> int:
        """Bytes of a group's weights."""
        return self.dot.element_bytes * self.depth * self.padded


def pack_weights(weights: NDArray[np.generic], groups: int, blocks: Blocks) -> NDArray[np.generic]:
    """Pack weights for tiles.

    Args:
        weights: [filters, channels of a group(, height, width)], integers without zero point or float32.
        groups: Of the convolution.
        blocks: How the filters are cut.

    Returns:
        A flat array of s8, s16 or f32; what fills vectors and elements is zero.

    Raises:
        KernelError: The dot product would not be exact for these weights.
    """
    dot = blocks.dot
    if not dot.exact(weights):
        raise KernelError(
            f"{dot.name} does not multiply these weights exactly ({weights.dtype}, {weights.min()} to {weights.max()});"
            " ask dots.best(weights) for a dot product that does"
        )
    kind = np.int8 if dot.narrow else {4: np.int8, 2: np.int16, 1: np.float32}[dot.group]
    flat = weights.transpose(0, 2, 3, 1).reshape(weights.shape[0], -1) if dot.real and weights.ndim == 4 else weights
    flat = (flat if dot.real else inner_rows(weights)).reshape(groups, blocks.filters, blocks.inner)
    padded = np.zeros((groups, blocks.padded, blocks.depth * dot.group), kind)
    padded[:, : blocks.filters, : blocks.inner] = flat
    return np.concatenate([_pack_group(group, blocks) for group in padded])


def _pack_group(padded: NDArray[np.generic], blocks: Blocks) -> NDArray[np.generic]:
    dot, first = blocks.dot, blocks.full * blocks.width
    parts = [(padded[:first], blocks.full, blocks.vectors), (padded[first:], 1, blocks.rest_vectors)]
    return np.concatenate(
        [
            part.reshape(count, vectors, dot.lanes, blocks.depth, dot.group).transpose(0, 3, 1, 2, 4).ravel()
            for part, count, vectors in parts
        ]
    )


def pad_filters(values: NDArray[np.generic], groups: int, blocks: Blocks) -> NDArray[np.generic]:
    """One value per filter, padded with zeros as the weights are."""
    padded = np.zeros((groups, blocks.padded), values.dtype)
    padded[:, : blocks.filters] = values.reshape(groups, blocks.filters)
    return padded.ravel()
