"""The sparse tile: a few rows of activations times the kept blocks of 16 filters.

As the dense tile, except that each step reads from the index where its activations lie. All sixteen filters are
accumulated at once, so that a step costs one look-up for all rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels.sparse_pack import FILTERS, INPUTS
from edgebig.kernels.tile import Tile
from edgebig.kernels.vector import I32, I64, Loop, Value, at, const, load, splat


@dataclass(frozen=True)
class SparseTile(Tile):
    """A tile of `rows` outputs by up to 16 filters; `depth` has no meaning, for the index says how far rows go."""

    @property
    def block_bytes(self) -> int:
        """Packed bytes of a block."""
        return self.dot.element_bytes * FILTERS * self.elements

    @property
    def elements(self) -> int:
        """32-bit elements of activations in a block."""
        return INPUTS // self.dot.group

    @property
    def unrolled(self) -> int:
        """Blocks in one turn of the loop: several for few rows, each into accumulators of its own."""
        return max(self.phases, 2 if self.rows * self.vectors <= 8 else 1)

    def emit_kept(
        self, b: ir.IRBuilder, a: Value, w: Value, index: Value, count: Value, bias: Value, multiplier: Value, y: Value
    ) -> None:
        """The code.

        Args:
            b: The builder.
            a: Address of the first row of activations.
            w: Address of the first kept block.
            index: Address of its entry in the index.
            count: Kept blocks.
            bias: Address of the first filter's.
            multiplier: Address of the first filter's.
            y: Address of the first output.
        """
        sums = self._first(b, bias)
        if self.unrolled > 1:
            whole = b.and_(count, const(-self.unrolled))
            loop = Loop(b, whole, sums, step=self.unrolled)
            following = list(loop.values)
            for phase in range(self.unrolled):
                following = self._block(b, a, w, index, b.add(loop.index, const(phase)), following, phase)
            sums = loop.end(following)
            loop = Loop(b, count, sums, start=whole)
        else:
            loop = Loop(b, count, sums)
        sums = loop.end(self._block(b, a, w, index, loop.index, loop.values, 0))
        self.finish(b, sums, multiplier, y)

    def _block(
        self, b: ir.IRBuilder, a: Value, w: Value, index: Value, number: Value, sums: Sequence[Value], phase: int
    ) -> list[Value]:
        """Add one kept block to every row, in the accumulators of a phase."""
        results, first = list(sums), phase % self.phases * self.rows * self.vectors
        offset = b.zext(load(b, b.add(index, b.mul(number, const(4))), I32), I64)
        a, w = b.add(a, offset), b.add(w, b.mul(number, const(self.block_bytes)))
        for element in range(self.elements):
            places = [(element * self.vectors + j) * self._vector_bytes for j in range(self.vectors)]
            weights = [self.dot.load_weights(b, at(b, w, place)) for place in places]
            for row in range(self.rows):
                activations = splat(b, load(b, at(b, a, row * self.a_pitch + 4 * element), I32), self.dot.lanes)
                for j, weight in enumerate(weights):
                    place = first + row * self.vectors + j
                    results[place] = self.dot.emit(b, results[place], activations, weight)
        return results
