"""The sparse tile: a few rows of activations times the kept blocks of 16 filters.

As the dense tile, except that each step reads from the index where its activations lie. All sixteen filters are
accumulated at once, so that a step costs one look-up for all rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels.dots import Dot
from edgebig.kernels.epilogue import Requantize, clamp, requantize, store_part, to_float
from edgebig.kernels.sparse_pack import FILTERS, INPUTS
from edgebig.kernels.vector import F32, I32, I64, Loop, Value, at, const, load, splat, vector_of, zeros


@dataclass(frozen=True)
class SparseTile:
    """A tile of `rows` outputs by up to 16 filters.

    Attributes:
        dot: How it multiplies.
        rows: Rows of activations.
        filters: Filters that are written; the weights of others are zero.
        a_pitch: Bytes between rows of activations.
        y_pitch: Bytes between rows of the output.
        output: Requantised u8, "f32" or the plain accumulators, "s32".
        low: Smallest output of "f32".
        high: Largest output of "f32".
    """

    dot: Dot
    rows: int
    filters: int
    a_pitch: int
    y_pitch: int
    output: Requantize | str
    low: float
    high: float

    @property
    def vectors(self) -> int:
        """Vectors of accumulators for each row."""
        return FILTERS // self.dot.lanes

    @property
    def elements(self) -> int:
        """32-bit elements of activations in a block."""
        return INPUTS // self.dot.group

    @property
    def block_bytes(self) -> int:
        """Packed bytes of a block."""
        return self.dot.element_bytes * FILTERS * self.elements

    @property
    def phases(self) -> int:
        """Blocks in one turn of the loop, each with accumulators of its own, so that few rows need not wait."""
        return 4 if self.rows * self.vectors <= 3 else 2 if self.rows * self.vectors <= 6 else 1

    def emit(
        self, b: ir.IRBuilder, a: Value, w: Value, index: Value, count: Value, bias: Value, multiplier: Value, y: Value
    ) -> None:
        """The code of a tile.

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
        size = self.rows * self.vectors
        sums = self._sixteen(b, bias, I32) * self.rows
        sums += [zeros(sums[0].type)] * (size * (self.phases - 1))
        whole = count if self.phases == 1 else b.and_(count, const(-self.phases))
        loop = Loop(b, whole, sums, step=self.phases)
        following = list(loop.values)
        for phase in range(self.phases):
            part = slice(phase * size, (phase + 1) * size)
            following[part] = self._block(b, a, w, index, b.add(loop.index, const(phase)), following[part])
        sums = loop.end(following)
        for phase in range(1, self.phases):
            sums[:size] = [b.add(x, y) for x, y in zip(sums[:size], sums[phase * size :][:size], strict=True)]
        sums = sums[:size]
        if self.phases > 1:
            loop = Loop(b, count, sums, start=whole)
            sums = loop.end(self._block(b, a, w, index, loop.index, loop.values))
        self._write(b, sums, multiplier, y)

    def _block(
        self, b: ir.IRBuilder, a: Value, w: Value, index: Value, number: Value, sums: Sequence[Value]
    ) -> list[Value]:
        """Add one kept block to every row."""
        results, vector_bytes = list(sums), self.dot.element_bytes * self.dot.lanes
        offset = b.zext(load(b, b.add(index, b.mul(number, const(4))), I32), I64)
        a, w = b.add(a, offset), b.add(w, b.mul(number, const(self.block_bytes)))
        for element in range(self.elements):
            first = element * self.vectors
            stored = [load(b, at(b, w, (first + j) * vector_bytes), self.dot.stored) for j in range(self.vectors)]
            weights = [self.dot.widen(b, vector) for vector in stored]
            for row in range(self.rows):
                activations = splat(b, load(b, at(b, a, row * self.a_pitch + 4 * element), I32), self.dot.lanes)
                for j, weight in enumerate(weights):
                    place = row * self.vectors + j
                    results[place] = self.dot.emit(b, results[place], activations, weight)
        return results

    def _sixteen(self, b: ir.IRBuilder, address: Value, element: ir.Type) -> list[Value]:
        """A value of each filter."""
        kind = vector_of(element, self.dot.lanes)
        return [load(b, at(b, address, 4 * self.dot.lanes * j), kind) for j in range(self.vectors)]

    def _write(self, b: ir.IRBuilder, sums: Sequence[Value], multiplier: Value, y: Value) -> None:
        scales = [] if self.output == "s32" else self._sixteen(b, multiplier, F32)
        for row in range(self.rows):
            part, place = sums[row * self.vectors : (row + 1) * self.vectors], at(b, y, row * self.y_pitch)
            if isinstance(self.output, Requantize):
                store_part(b, requantize(b, part, scales, self.output), place, self.filters)
                continue
            for j, vector in enumerate(part):
                first, count = j * self.dot.lanes, min(self.dot.lanes, self.filters - j * self.dot.lanes)
                if self.output == "f32":
                    vector = clamp(b, b.fmul(to_float(b, vector), scales[j]), self.low, self.high)
                if count > 0:
                    store_part(b, vector, at(b, place, 4 * first), count, element_bytes=4)
