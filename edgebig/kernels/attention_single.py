"""The work of attention on a single query: a token being decoded, against a cache of keys and values.

With one query there is nothing to put side by side in lanes, so these hold columns: products of a few keys are summed
up together by a transposition, and every value row is weighed as it lies. Each key and value is read once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels.attention_block import Block, Part
from edgebig.kernels.attention_numbers import scaled
from edgebig.kernels.attention_scores import larger, softmax_columns
from edgebig.kernels.batched_tile import load_row, square_transposed
from edgebig.kernels.epilogue import quantize, store_part
from edgebig.kernels.float_unary_math import multiply_add
from edgebig.kernels.vector import F32, Loop, Value, at, const, fill, load, shuffle, splat, stack, store

# Vectors of sums that are in flight at a time, to hide the latency of the additions.
_SUMS = 8


@dataclass(frozen=True)
class SingleQuery(Block):
    """The code for one query of one head; heads with several are done query by query."""

    @property
    def width(self) -> int:
        """Queries in a block."""
        return 1

    @property
    def queries(self) -> int:
        """Queries in a block."""
        return 1

    def emit(self, b: ir.IRBuilder, part: Part) -> None:
        """Emit the work on one query."""
        spec, lanes = self.spec, self.lanes
        blocks = -(-spec.key_rows // lanes)
        scores = stack(b, 4 * lanes * blocks)
        point = self._point(0)
        size = 4 if point is None else 1
        query = [load_row(b, at(b, part.q, size * c), n, lanes, point) for c, n in self._chunks(spec.dim)]
        top = _fold(b, self._single_products(b, part, scores, query), lambda x, y: larger(b, x, y))
        (factor,) = softmax_columns(b, scores, blocks, [top], self.rounding, lambda value: _fold(b, value, b.fadd))
        self._weigh_rows(b, part, scores, scaled(b, factor, self.scalars.value_scale))

    def _chunks(self, columns: int) -> list[tuple[int, int]]:
        """First column and number of columns of each vector."""
        return [(first, min(self.lanes, columns - first)) for first in range(0, columns, self.lanes)]

    def _single_products(self, b: ir.IRBuilder, part: Part, scores: Value, query: Sequence[Value]) -> Value:
        """Write all scores; returns the largest, lane by lane. Lanes past the last key are -infinity."""
        spec, lanes = self.spec, self.lanes
        lowest = fill(F32, lanes, -float("inf"))

        def block(key: Value, count: int, top: Value) -> Value:
            first = b.add(part.k, b.mul(key, const(part.k_pitch)))
            sums = []
            for r in range(count):
                total = fill(F32, lanes, 0.0)
                for q, (c, n) in zip(query, self._chunks(spec.dim), strict=True):
                    total = multiply_add(
                        b, load_row(b, at(b, first, r * part.k_pitch + 4 * c), n, lanes, None), q, total
                    )
                sums.append(total)
            sums += [fill(F32, lanes, 0.0)] * (lanes - count)
            added = square_transposed(b, sums)
            while len(added) > 1:
                added = [b.fadd(x, y) for x, y in zip(added[::2], added[1::2], strict=True)]
            offset = b.mul(key, const(4))
            mask = None if part.mask is None else load_row(b, b.add(part.mask, offset), count, lanes, None)
            score = self._score(b, added[0], mask)
            if count < lanes:
                score = shuffle(b, score, lowest, [lane if lane < count else lanes + lane for lane in range(lanes)])
            store(b, score, b.add(scores, offset))
            return larger(b, score, top)

        full, top = spec.key_rows // lanes * lanes, lowest
        if full:
            loop = Loop(b, const(full), [top], step=lanes)
            (top,) = loop.end([block(loop.index, lanes, loop.values[0])])
        return block(const(full), spec.key_rows - full, top) if full < spec.key_rows else top

    def _weigh_rows(self, b: ir.IRBuilder, part: Part, scores: Value, factor: Value) -> None:
        """The sum of the value rows, weighed with the scores, a few columns at a time."""
        chunks = self._chunks(self.spec.value_dim)
        for first in range(0, len(chunks), _SUMS):
            some = chunks[first : first + _SUMS]
            phases = max(1, _SUMS // len(some))
            zero = fill(F32, self.lanes, 0.0)

            def add(key: Value, sums: Sequence[Value], some: Sequence[tuple[int, int]] = some) -> list[Value]:
                weight = splat(b, load(b, b.add(scores, b.mul(key, const(4))), F32), self.lanes)
                row = b.add(part.v, b.mul(key, const(part.v_pitch)))
                loads = [load_row(b, at(b, row, 4 * c), n, self.lanes, None) for c, n in some]
                return [multiply_add(b, weight, value, total) for value, total in zip(loads, sums, strict=True)]

            full = self.spec.key_rows // phases * phases
            loop = Loop(b, const(full), [zero] * (phases * len(some)), step=phases)
            following: list[Value] = []
            for phase in range(phases):
                before = loop.values[phase * len(some) : (phase + 1) * len(some)]
                following += add(b.add(loop.index, const(phase)), before)
            flat = loop.end(following)
            sums = flat[: len(some)]
            for phase in range(1, phases):
                sums = [b.fadd(x, y) for x, y in zip(sums, flat[phase * len(some) :][: len(some)], strict=True)]
            for key in range(full, self.spec.key_rows):
                sums = add(const(key), sums)
            self._write(b, part.y, some, [b.fmul(total, factor) for total in sums])

    def _write(self, b: ir.IRBuilder, y: Value, chunks: Sequence[tuple[int, int]], values: Sequence[Value]) -> None:
        for (first, count), value in zip(chunks, values, strict=True):
            if self.scalars.output is None:
                store_part(b, value, at(b, y, 4 * first), count, element_bytes=4)
            else:
                store_part(b, quantize(b, [value], self.scalars.output), at(b, y, first), count)


def _fold(b: ir.IRBuilder, value: Value, combine: Callable[[Value, Value], Value]) -> Value:
    """All lanes combined into one, which every lane of the result has."""
    lanes, half = range(value.type.count), value.type.count // 2
    while half:
        value = combine(value, shuffle(b, value, value, [lane ^ half for lane in lanes]))
        half //= 2
    return value
