"""What a pruning pattern is: rectangles of the weight, seen as a matrix [outputs, inputs], that become zero whole."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebig.graph.weights import WeightedNode


@dataclass(frozen=True)
class Pattern:
    """A grid of blocks over the weight's matrix of `WeightedNode.to_matrix` (input channels innermost).

    The grid starts at output 0, input 0. Where the matrix is no multiple of the block, the blocks at its lower and
    right edge are cut off; they are pruned like the others and count with the weights they really have.

    Attributes:
        name: Its name on the command line.
        description: One line for people.
        rows: Outputs of a block, which share their zeros.
        columns: Inputs of a block.
        refuse: Why a layer does not suit the pattern; None where it does.
    """

    name: str
    description: str
    rows: int
    columns: int
    refuse: Callable[[WeightedNode], str | None]

    def bands(self, outputs: int) -> int:
        """How many bands of `rows` outputs a weight has; the last may be shorter."""
        return -(-outputs // self.rows)

    def blocks(self, inputs: int) -> int:
        """How many blocks a band has."""
        return -(-inputs // self.columns)

    def sizes(self, outputs: int, inputs: int) -> NDArray[np.int64]:
        """Weights in each block, [bands, blocks]."""
        heights = np.minimum(self.rows, outputs - self.rows * np.arange(self.bands(outputs)))
        widths = np.minimum(self.columns, inputs - self.columns * np.arange(self.blocks(inputs)))
        return np.outer(heights, widths)

    def expand(self, kept: NDArray[np.bool_], outputs: int, inputs: int) -> NDArray[np.bool_]:
        """The mask of a matrix [outputs, inputs] from that of its blocks [bands, blocks]."""
        return kept.repeat(self.rows, 0)[:outputs].repeat(self.columns, 1)[:, :inputs]


def refuse_depthwise(layer: WeightedNode) -> str | None:
    """Depthwise convolutions: a few weights per channel, each of them needed."""
    if layer.is_depthwise:
        return "depthwise: its few weights per channel save next to nothing"
    return None
