"""The work of attention on a block of queries of one head, as vector code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llvmlite import ir

from edgebig.kernels.attention_numbers import Scalars, rounded, scaled
from edgebig.kernels.attention_scores import larger, softmax_columns
from edgebig.kernels.batched_tile import load_row, multiply, pieces, start, tile_rows, transpose
from edgebig.kernels.epilogue import quantize, store_part
from edgebig.kernels.errors import KernelError
from edgebig.kernels.vector import F32, Loop, Value, at, const, fill, load, minimum, splat, stack, store, vector_of

if TYPE_CHECKING:
    from edgebig.kernels.attention import Attention

# Values of so many keys stay in the first cache while all columns of the result are computed from them.
KEY_BLOCK = 64


@dataclass(frozen=True)
class Part:
    """Where the operands of one head and block of queries lie.

    Attributes:
        q: Address of the first query.
        k: Of the first key; f32.
        v: Of the first value; f32.
        y: Of the first result.
        mask: Of the part of the mask that belongs to them; None if there is none.
        k_pitch: Bytes between keys.
        v_pitch: Bytes between values.
    """

    q: Value
    k: Value
    v: Value
    y: Value
    mask: Value | None
    k_pitch: int
    v_pitch: int


@dataclass(frozen=True)
class Block:
    """How the queries of a head are cut into blocks, and the code for one.

    Attributes:
        spec: What is computed.
        lanes: Floats in a vector.
        vectors: Vectors of queries in a block.
        numbers: Scales and the like, once code is emitted.
    """

    spec: Attention
    lanes: int
    vectors: int
    numbers: Scalars | None = None

    @property
    def scalars(self) -> Scalars:
        """The numbers.

        Raises:
            KernelError: No code is being emitted.
        """
        if self.numbers is None:
            raise KernelError("a block of attention needs its numbers to emit code")
        return self.numbers

    @property
    def rounding(self) -> Callable[[ir.IRBuilder, Value], Value] | None:
        """How probabilities are rounded."""
        found = self.scalars.probabilities
        return None if found is None else found.emit

    @property
    def width(self) -> int:
        """Queries in a block, with the lanes that stay empty where the head has fewer."""
        return self.lanes * self.vectors

    @property
    def queries(self) -> int:
        """Queries in a block."""
        return min(self.width, self.spec.query_rows)

    @property
    def stack_bytes(self) -> int:
        """What the scratch buffers of a block need."""
        spec = self.spec
        gathered = spec.key_rows * (spec.dim + spec.value_dim) if spec.element == "u8" else 0
        return 4 * (gathered + self.width * (spec.dim + spec.key_rows + spec.value_dim))

    def emit(self, b: ir.IRBuilder, part: Part) -> None:
        """Emit the work on one block."""
        spec, row = self.spec, 4 * self.width
        queries, scores, sums = (stack(b, row * count) for count in (spec.dim, spec.key_rows, spec.value_dim))
        self._turn(b, part.q, queries, spec.dim, spec.q.pitch, self._point(0))
        if spec.mask == "full" and part.mask is not None:
            self._turn(b, part.mask, scores, spec.key_rows, spec.key_rows, None)
        top = self._products(b, part, queries, scores)
        factors = softmax_columns(b, scores, spec.key_rows, top, self.rounding)
        self._weigh(b, part, scores, sums)
        self._finish(b, part, sums, [scaled(b, factor, self.scalars.value_scale) for factor in factors])

    def _point(self, operand: int) -> Value | None:
        """The zero point of q, k or v; None where they are f32."""
        return self.scalars.zero_points[operand] if self.spec.element == "u8" else None

    def _turn(
        self, b: ir.IRBuilder, source: Value, target: Value, columns: int, pitch: int, zero_point: Value | None
    ) -> None:
        """Bring rows of queries into the lanes: target[column][query]."""

        def put(column: Value, first: int, _count: int, vector: Value) -> None:
            store(b, vector, at(b, b.add(target, b.mul(column, const(4 * self.width))), 4 * first))

        size = 4 if zero_point is None else 1
        transpose(
            b, source, self.queries, columns, self.lanes, pitch_bytes=size * pitch, zero_point=zero_point, put=put
        )

    def _products(self, b: ir.IRBuilder, part: Part, queries: Value, scores: Value) -> list[Value]:
        """Write scores[key][query], and return the largest of every query."""
        top: list[Value] = [fill(F32, self.lanes, -float("inf"))] * self.vectors
        zeros = [fill(F32, self.lanes, 0.0)] * self.vectors
        row = 4 * self.width
        for first, height, times in pieces(self.spec.key_rows, tile_rows(self.vectors)):
            loop = Loop(b, const(times), top)
            key = b.add(b.mul(loop.index, const(height)), const(first))
            sums = multiply(
                b,
                b.add(part.k, b.mul(key, const(part.k_pitch))),
                queries,
                self.spec.dim,
                [zeros] * height,
                row_bytes=part.k_pitch,
                single_bytes=4,
                vector_bytes=row,
            )
            largest, target = list(loop.values), b.add(scores, b.mul(key, const(row)))
            for r, values in enumerate(sums):
                added = self._key_mask(b, part, key, r)
                for v, value in enumerate(values):
                    place = at(b, target, r * row + 4 * self.lanes * v)
                    score = self._score(b, value, load(b, place, value.type) if self.spec.mask == "full" else added)
                    store(b, score, place)
                    largest[v] = larger(b, score, largest[v])
            top = loop.end(largest)
        return top

    def _key_mask(self, b: ir.IRBuilder, part: Part, key: Value, row: int) -> Value | None:
        if self.spec.mask != "keys" or part.mask is None:
            return None
        return splat(b, load(b, at(b, b.add(part.mask, b.mul(key, const(4))), 4 * row), F32), self.lanes)

    def _score(self, b: ir.IRBuilder, value: Value, added: Value | None) -> Value:
        spec = self.scalars
        value = rounded(b, scaled(b, value, spec.product_scale), spec.product)
        value = rounded(b, scaled(b, value, spec.scale), spec.scaled)
        return rounded(b, value if added is None else b.fadd(value, added), spec.masked)

    def _weigh(self, b: ir.IRBuilder, part: Part, scores: Value, sums: Value) -> None:
        """Sums of values weighed with probabilities: sums[column][query]."""
        row, kind = 4 * self.width, vector_of(F32, self.lanes)
        loop = Loop(b, const(row * self.spec.value_dim), step=4 * self.lanes)
        store(b, fill(F32, self.lanes, 0.0), b.add(sums, loop.index))
        loop.end()
        for first_key, keys, key_times in pieces(self.spec.key_rows, KEY_BLOCK):
            outer = Loop(b, const(key_times))
            key = b.add(b.mul(outer.index, const(keys)), const(first_key))
            values, weights = (b.add(base, b.mul(key, const(n))) for base, n in ((part.v, part.v_pitch), (scores, row)))
            for first, height, times in pieces(self.spec.value_dim, tile_rows(self.vectors)):
                inner = Loop(b, const(times))
                column = b.add(b.mul(inner.index, const(height)), const(first))
                target = b.add(sums, b.mul(column, const(row)))
                places = [
                    [at(b, target, r * row + 4 * self.lanes * v) for v in range(self.vectors)] for r in range(height)
                ]
                result = multiply(
                    b,
                    b.add(values, b.mul(column, const(4))),
                    weights,
                    keys,
                    [[load(b, place, kind) for place in line] for line in places],
                    row_bytes=4,
                    single_bytes=part.v_pitch,
                    vector_bytes=row,
                )
                for line, found in zip(places, result, strict=True):
                    for place, value in zip(line, found, strict=True):
                        store(b, value, place)
                inner.end()
            outer.end()

    def _finish(self, b: ir.IRBuilder, part: Part, sums: Value, factors: Sequence[Value]) -> None:
        """Scale the sums and write them as rows of the result."""
        spec, row, kind = self.spec, 4 * self.width, vector_of(F32, self.lanes)
        loop = Loop(b, const(row * spec.value_dim), step=row)
        for v, factor in enumerate(factors):
            place = at(b, b.add(sums, loop.index), 4 * self.lanes * v)
            store(b, b.fmul(load(b, place, kind), factor), place)
        loop.end()
        size = 1 if spec.output else 4

        def put(query: Value, first: int, count: int, vector: Value) -> None:
            place = at(b, b.add(part.y, b.mul(query, const(size * spec.y.pitch))), size * first)
            if self.scalars.output is None:
                store_part(b, vector, place, count, element_bytes=4)
            else:
                store_part(b, quantize(b, [vector], self.scalars.output), place, count)

        transpose(b, sums, spec.value_dim, self.queries, self.lanes, pitch_bytes=row, zero_point=None, put=put)

    def gather(self, b: ir.IRBuilder, source: Value, target: Value, columns: int, pitch: int, operand: int) -> None:
        """Turn the u8 rows of a head into floats that lie side by side."""
        loop = Loop(b, const(self.spec.key_rows))
        source, target = (
            b.add(base, b.mul(loop.index, const(step))) for base, step in ((source, pitch), (target, 4 * columns))
        )
        full = columns // self.lanes * self.lanes
        for first in range(0, columns, self.lanes):
            count = self.lanes if first < full else columns - full
            row = load_row(b, at(b, source, first), count, self.lanes, self._point(operand))
            store_part(b, row, at(b, target, 4 * first), count, element_bytes=4)
        loop.end()


def emit_units(
    b: ir.IRBuilder, block: Block, place: Mapping[str, Value], unit: Value, first: Value, blocks: int
) -> None:
    """Emit the work on one unit: block `unit % blocks` of a head; keys and values are gathered once per head."""
    spec, size = block.spec, 4 if block.spec.element == "f32" else 1
    index, head_index = b.urem(unit, const(blocks)), b.udiv(unit, const(blocks))
    head, entry = b.urem(head_index, const(spec.heads)), b.udiv(head_index, const(spec.heads))
    key_head = b.udiv(head, const(spec.heads // (spec.key_heads or spec.heads)))
    # The last block begins earlier where it would be cut short; what it shares with the one before comes out the same.
    query = minimum(b, b.mul(index, const(block.width)), const(spec.query_rows - block.queries))

    q = start(b, place["q"], [(entry, spec.q.batch), (head, spec.q.head), (query, spec.q.pitch)], size)
    k = start(b, place["k"], [(entry, spec.k.batch), (key_head, spec.k.head)], size)
    v = start(b, place["v"], [(entry, spec.v.batch), (key_head, spec.v.head)], size)
    y = start(
        b, place["y"], [(entry, spec.y.batch), (head, spec.y.head), (query, spec.y.pitch)], 1 if spec.output else 4
    )
    mask = None
    if spec.mask != "none":
        terms = [(entry, spec.mask_batch), (head, spec.mask_head)]
        mask = start(b, place["mask"], [*terms, (query, spec.key_rows if spec.mask == "full" else 0)], 4)
    if spec.element == "f32":
        block.emit(b, Part(q, k, v, y, mask, 4 * spec.k.pitch, 4 * spec.v.pitch))
        return
    keys, values = (stack(b, 4 * spec.key_rows * columns) for columns in (spec.dim, spec.value_dim))
    with b.if_then(b.or_(b.icmp_signed("==", index, const(0)), b.icmp_signed("==", unit, first))):
        block.gather(b, k, keys, spec.dim, spec.k.pitch, 1)
        block.gather(b, v, values, spec.value_dim, spec.v.pitch, 2)
    block.emit(b, Part(q, keys, values, y, mask, 4 * spec.dim, 4 * spec.value_dim))
