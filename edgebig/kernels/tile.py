"""The tile: a few rows of activations times a few vectors of weights, accumulated in registers and written once.

Every convolution and matrix product runs through it. All pitches are constants, so that rows are reached by immediate
offsets from one pointer; weights lie in the order they are read. A step of the inner loop takes one 32-bit element of
each row, repeats it in a vector and multiplies it by all vectors of weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels.dots import Dot
from edgebig.kernels.epilogue import Requantize, clamp, requantize, store_part, to_float
from edgebig.kernels.vector import F32, I8, I32, Loop, Value, at, const, load, splat, store, vector_of, zeros


@dataclass(frozen=True)
class Tile:
    """A tile of `rows` outputs by `filters` filters.

    Attributes:
        dot: How it multiplies.
        rows: Rows of activations.
        vectors: Vectors of weights; lanes past `filters` hold zeros.
        filters: Filters that are written.
        depth: 32-bit elements of activations in a row.
        a_pitch: Bytes between rows of activations.
        y_pitch: Bytes between rows of the output.
        output: Requantised u8, "f32" or the plain accumulators, "s32".
        low: Smallest output of "f32".
        high: Largest output of "f32".
        unroll: Elements handled by one turn of the loop.
    """

    dot: Dot
    rows: int
    vectors: int
    filters: int
    depth: int
    a_pitch: int
    y_pitch: int
    output: Requantize | str
    low: float = -float("inf")
    high: float = float("inf")
    unroll: int = 2

    @property
    def phases(self) -> int:
        """Sets of accumulators, used in turn, so that a tile of few rows does not wait for its own sums."""
        return 4 if self.rows * self.vectors <= 3 else 2 if self.rows * self.vectors <= 5 else 1

    def emit(self, b: ir.IRBuilder, operands: Sequence[Value], sums: Value | None = None) -> None:
        """The code of a tile.

        Args:
            b: The builder.
            operands: Addresses of the first row of activations, of the block's packed weights, its bias and its
                multipliers, and of the first output.
            sums: Address of accumulators to go on from, made by `begin` and `accumulate`; the bias is in them.
        """
        a, w, bias, multiplier, y = operands
        first = self._first(b, bias) * self.rows if sums is None else self._load_sums(b, sums)
        self.finish(b, self._multiply(b, a, w, first), multiplier, y)

    def finish(self, b: ir.IRBuilder, accumulators: list[Value], multiplier: Value, y: Value) -> None:
        """Code that turns accumulators into outputs."""
        scales = [] if self.output == "s32" else self._vectors(b, multiplier, F32)
        for row in range(self.rows):
            part = accumulators[row * self.vectors : (row + 1) * self.vectors]
            self._write(b, part, scales, at(b, y, row * self.y_pitch))

    def accumulate(self, b: ir.IRBuilder, a: Value, w: Value, sums: Value) -> None:
        """Code that adds products to accumulators [rows][vectors][lanes] in memory."""
        for i, vector in enumerate(self._multiply(b, a, w, self._load_sums(b, sums))):
            store(b, vector, at(b, sums, i * 4 * self.dot.lanes))

    def begin(self, b: ir.IRBuilder, bias: Value, sums: Value) -> None:
        """Code that sets accumulators in memory to the bias."""
        for row in range(self.rows):
            for j, vector in enumerate(self._first(b, bias)):
                store(b, vector, at(b, sums, (row * self.vectors + j) * 4 * self.dot.lanes))

    @property
    def sums_bytes(self) -> int:
        """Bytes of a tile's accumulators."""
        return 4 * self.rows * self.vectors * self.dot.lanes

    @property
    def _kind(self) -> ir.Type:
        return F32 if self.dot.real else I32

    def _first(self, b: ir.IRBuilder, bias: Value) -> list[Value]:
        """What the accumulators of a row begin with."""
        return self._vectors(b, bias, self._kind)

    def _load_sums(self, b: ir.IRBuilder, sums: Value) -> list[Value]:
        kind = vector_of(self._kind, self.dot.lanes)
        return [load(b, at(b, sums, i * 4 * self.dot.lanes), kind) for i in range(self.rows * self.vectors)]

    def _vectors(self, b: ir.IRBuilder, address: Value, element: ir.Type) -> list[Value]:
        kind = vector_of(element, self.dot.lanes)
        return [load(b, at(b, address, 4 * self.dot.lanes * i), kind) for i in range(self.vectors)]

    def _multiply(self, b: ir.IRBuilder, a: Value, w: Value, accumulators: list[Value]) -> list[Value]:
        """The inner loop. It carries real pointers: LLVM folds their offsets into the loads, those of integers not."""
        accumulators = accumulators + [zeros(accumulators[0].type)] * (len(accumulators) * (self.phases - 1))
        a, w = (b.inttoptr(address, I8.as_pointer()) for address in (a, w))
        unroll = max(self.unroll, self.phases)
        turns = self.depth // unroll if self.depth >= 2 * unroll else 0
        if turns:
            loop = Loop(b, const(turns), [a, w, *accumulators])
            a, w, *carried = loop.values
            following = self._elements(b, a, w, carried, unroll)
            ends = [b.gep(a, [const(4 * unroll)]), b.gep(w, [const(self.element_bytes * unroll)])]
            a, w, *accumulators = loop.end([*ends, *following])
        accumulators = self._elements(b, a, w, accumulators, self.depth - turns * unroll)
        while len(accumulators) > self.rows * self.vectors:
            half = len(accumulators) // 2
            accumulators = [self._plus(b, x, y) for x, y in zip(accumulators[:half], accumulators[half:], strict=True)]
        return accumulators

    @property
    def element_bytes(self) -> int:
        """Bytes of the weights of one element."""
        return self._vector_bytes * self.vectors

    @property
    def _vector_bytes(self) -> int:
        return self.dot.element_bytes * self.dot.lanes

    def _elements(self, b: ir.IRBuilder, a: Value, w: Value, accumulators: Sequence[Value], count: int) -> list[Value]:
        """`count` elements of every row, one after the other, without a loop."""
        dot, results = self.dot, list(accumulators)
        for i in range(count):
            first, start = i % self.phases * self.rows * self.vectors, i * self.element_bytes
            stored = (_load(b, w, start + j * self._vector_bytes, dot.stored) for j in range(self.vectors))
            weights = [dot.widen(b, vector) for vector in stored]
            for row in range(self.rows):
                element = splat(b, _load(b, a, row * self.a_pitch + 4 * i, I32), dot.lanes)
                for j, weight in enumerate(weights):
                    place = first + row * self.vectors + j
                    results[place] = dot.emit(b, results[place], element, weight)
        return results

    def _plus(self, b: ir.IRBuilder, x: Value, y: Value) -> Value:
        return b.fadd(x, y) if self.dot.real else b.add(x, y)

    def _write(self, b: ir.IRBuilder, part: Sequence[Value], scales: Sequence[Value], y: Value) -> None:
        if isinstance(self.output, Requantize):
            store_part(b, requantize(b, part, scales, self.output), y, self.filters)
            return
        for j, vector in enumerate(part):
            if self.output == "f32":
                scaled = vector if self.dot.real else b.fmul(to_float(b, vector), scales[j])
                vector = clamp(b, scaled, self.low, self.high)
            done = j * self.dot.lanes
            store_part(b, vector, at(b, y, 4 * done), min(self.dot.lanes, self.filters - done), element_bytes=4)


def _load(b: ir.IRBuilder, pointer: Value, offset: int, kind: ir.Type) -> Value:
    """Load from `offset` bytes behind a pointer to bytes."""
    value = b.load(b.bitcast(b.gep(pointer, [const(offset)]), kind.as_pointer()))
    value.align = 1
    return value
