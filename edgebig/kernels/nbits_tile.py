"""The inner loops of MatMulNBits: some rows of activations times some vectors of outputs, over all blocks of inputs.

The totals of a block are exact integers or, for float activations, sums of products by whole numbers; they are scaled
and added to the result, which starts at the bias.
"""

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels.nbits_arithmetic import Arithmetic, widen
from edgebig.kernels.nbits_layout import VECTORS, Layout
from edgebig.kernels.vector import (
    F32,
    I8,
    I16,
    I32,
    Loop,
    Value,
    at,
    call,
    const,
    fill,
    load,
    opaque,
    splat,
    store,
    suffix,
    vector_of,
    zeros,
)

# How far ahead of the weights in use memory is asked for.
PREFETCH_BYTES = 4096
LINE_BYTES = 64
# Words of weights, or inputs for float activations, in a row without a loop. More compile longer, and with more LLVM
# unpacks all words before it uses the first, and runs out of registers.
WORDS_OF_ONE_ROW, WORDS_OF_ROWS, FLOAT_INPUTS = 4, 1, 8

Totals = list[list[Value]]
Emit = Callable[..., None]
Block = Callable[[ir.IRBuilder, Value, Value, Value], Totals]


@dataclass(frozen=True)
class Starts:
    """Addresses of the first block: of its activations, and of some outputs' weights, scales and zero points."""

    panel: Value
    weights: Value
    scales: Value
    zero_points: Value


@dataclass(frozen=True)
class Tile:
    """The part of the work that one call does: some rows by one group of outputs.

    Attributes:
        layout: Of the weights.
        rows: Rows of activations.
        blocks: Blocks of inputs.
        panel_record: Bytes of a row's block in the panel; the rows of a tile lie side by side.
    """

    layout: Layout
    rows: int
    blocks: int
    panel_record: int

    @property
    def vectors(self) -> int:
        """Vectors of outputs at a time: fewer with more rows, so that totals stay in registers."""
        return VECTORS if self.rows <= 2 else VECTORS // 2

    def code(self, block: Block, row_scale: int | None) -> Emit:
        """The code: `emit(b, panel, weights, bias, y, pitch)`.

        Args:
            block: `block(b, panel, weights, zero_points)` gives the totals of a block, f32 vectors [rows][vectors].
            row_scale: Where in a row's record the scale of its activations lies, if they have one.
        """
        layout, step = self.layout, self.vectors * self.layout.lanes

        def body(b: ir.IRBuilder, panel: Value, weights: Value, bias: Value, y: Value, pitch: Value) -> None:
            parts = Loop(b, const(VECTORS // self.vectors))
            words = b.mul(parts.index, const(4 * step))
            starts = Starts(
                panel,
                b.add(weights, b.mul(parts.index, const(self.vectors * layout.vector_bytes))),
                b.add(at(b, weights, layout.scales_at), words),
                b.add(at(b, weights, layout.zero_points_at), b.mul(parts.index, const(step))),
            )
            self._sweep(b, block, row_scale, starts, b.add(bias, words), b.add(y, words), pitch)
            parts.end()

        return body

    def _sweep(
        self,
        b: ir.IRBuilder,
        block: Block,
        row_scale: int | None,
        starts: Starts,
        bias: Value,
        y: Value,
        pitch: Value,
    ) -> None:
        """Some vectors of outputs over all blocks."""
        lanes, record = self.layout.lanes, self.layout.record
        wide = vector_of(F32, lanes)
        first = [load(b, at(b, bias, 4 * lanes * j), wide) for j in range(self.vectors)]
        loop = Loop(b, const(self.blocks), first * self.rows)
        step = b.mul(loop.index, const(record))
        panel = b.add(starts.panel, b.mul(loop.index, const(self.panel_record * self.rows)))
        weights, scales = b.add(starts.weights, step), b.add(starts.scales, step)
        for offset in range(0, record, LINE_BYTES):
            _prefetch(b, at(b, weights, PREFETCH_BYTES + offset))
        totals = block(b, panel, weights, b.add(starts.zero_points, step))
        factors = [load(b, at(b, scales, 4 * lanes * j), wide) for j in range(self.vectors)]
        following = []
        for i in range(self.rows):
            for j in range(self.vectors):
                total, factor = totals[i][j], factors[j]
                if row_scale is not None:
                    total = b.fmul(total, factor)
                    factor = splat(b, load(b, at(b, panel, i * self.panel_record + row_scale), F32), lanes)
                following.append(multiply_add(b, total, factor, loop.values[i * self.vectors + j]))
        results = loop.end(following)
        for i in range(self.rows):
            place = b.add(y, b.mul(pitch, const(i)))
            for j in range(self.vectors):
                store(b, results[i * self.vectors + j], at(b, place, 4 * lanes * j))


def integer_tile(tile: Tile, arithmetic: Arithmetic) -> Emit:
    """The loop for int8 activations: records of block_size s8, a scale, and correction words (see `quantize_block`)."""
    layout = tile.layout
    chunk = arithmetic.chunk or layout.block_size
    words = chunk * layout.bits // 32

    def block(b: ir.IRBuilder, panel: Value, weights: Value, zero_points: Value) -> Totals:
        sums: Totals = []
        for part in range(layout.block_size // chunk):
            totals = _start(b, tile, arithmetic, panel, part)
            totals = _accumulate(b, tile, arithmetic, totals, panel, weights, range(part * words, (part + 1) * words))
            if arithmetic.chunk:
                totals = [[widen(b, total) for total in row] for row in totals]
            sums = [_add(b, *rows) for rows in zip(sums, totals, strict=True)] if sums else totals
        if layout.has_zero_points:
            _correct(b, tile, sums, panel, zero_points)
        return [[b.sitofp(total, vector_of(F32, layout.lanes)) for total in row] for row in sums]

    return tile.code(block, layout.block_size)


def _add(b: ir.IRBuilder, left: list[Value], right: list[Value]) -> list[Value]:
    return [b.add(x, y) for x, y in zip(left, right, strict=True)]


def _start(b: ir.IRBuilder, tile: Tile, arithmetic: Arithmetic, panel: Value, part: int) -> Totals:
    """Minus the common zero point times the activations; zero where each weight has its own zero point."""
    layout, totals = tile.layout, []
    for i in range(tile.rows):
        value = zeros(arithmetic.total)
        if not layout.has_zero_points:
            place = at(b, panel, i * tile.panel_record + layout.block_size + 4 + 4 * part)
            value = b.bitcast(splat(b, load(b, place, I32), layout.lanes), arithmetic.total)
        totals.append([value] * tile.vectors)
    return totals


def _accumulate(
    b: ir.IRBuilder, tile: Tile, arithmetic: Arithmetic, totals: Totals, panel: Value, weights: Value, words: range
) -> Totals:
    """Add the products of some words of weights, each of four inputs of 8 bits or eight of 4 bits."""
    layout = tile.layout
    unrolled = min(len(words), WORDS_OF_ONE_ROW if tile.rows == 1 else WORDS_OF_ROWS)
    stop = const(words.stop) if unrolled == len(words) else opaque(b, const(words.stop))
    loop = Loop(b, stop, _flat(totals), start=const(words.start), step=unrolled)
    weights = b.add(weights, b.mul(loop.index, const(4 * layout.lanes)))
    panel = b.add(panel, b.mul(loop.index, const(32 // layout.bits)))
    sums = _by_row(tile, loop.values)
    for word in range(unrolled):
        places = [j * layout.vector_bytes + word * layout.lanes * 4 for j in range(tile.vectors)]
        packed = [load(b, at(b, weights, place), vector_of(I32, layout.lanes)) for place in places]
        for half in range(8 // layout.bits):
            vectors = packed if layout.bits == 8 else [_nibbles(b, vector, half) for vector in packed]
            first = 4 * (word * 8 // layout.bits + half)
            for i in range(tile.rows):
                activations = splat(b, load(b, at(b, panel, i * tile.panel_record + first), I32), layout.lanes)
                for j, vector in enumerate(vectors):
                    sums[i][j] = arithmetic.emit(b, sums[i][j], vector, activations)
    return _by_row(tile, loop.end(_flat(sums)))


def _flat(totals: Totals) -> list[Value]:
    return [total for row in totals for total in row]


def _by_row(tile: Tile, flat: list[Value]) -> Totals:
    return [flat[i * tile.vectors : (i + 1) * tile.vectors] for i in range(tile.rows)]


def _nibbles(b: ir.IRBuilder, packed: Value, half: int) -> Value:
    """The lower or upper halves of all bytes."""
    lanes = packed.type.count
    if half:
        words = vector_of(I16, 2 * lanes)
        packed = b.bitcast(b.lshr(b.bitcast(packed, words), fill(I16, 2 * lanes, 4)), packed.type)
    return b.and_(packed, fill(I32, lanes, 0x0F0F0F0F))


def _correct(b: ir.IRBuilder, tile: Tile, sums: Totals, panel: Value, zero_points: Value) -> None:
    """Add zero point times minus the sum of the activations."""
    layout = tile.layout
    for j in range(tile.vectors):
        points = _zero_points(b, layout, zero_points, j)
        for i in range(tile.rows):
            minus = load(b, at(b, panel, i * tile.panel_record + layout.block_size + 4), I32)
            sums[i][j] = b.add(sums[i][j], b.mul(points, splat(b, minus, layout.lanes)))


def _zero_points(b: ir.IRBuilder, layout: Layout, zero_points: Value, j: int) -> Value:
    points = load(b, at(b, zero_points, layout.lanes * j), vector_of(I8, layout.lanes))
    extend = b.sext if layout.offset else b.zext
    return extend(points, vector_of(I32, layout.lanes))


def float_tile(tile: Tile) -> Emit:
    """The loop for float activations: records of block_size f32 and a correction (see `scale_block`)."""
    layout = tile.layout
    whole, wide = vector_of(I32, layout.lanes), vector_of(F32, layout.lanes)
    fields, words = 32 // layout.bits, layout.dwords
    unrolled = min(words, FLOAT_INPUTS // fields)

    def block(b: ir.IRBuilder, panel: Value, weights: Value, zero_points: Value) -> Totals:
        rows = [at(b, panel, i * tile.panel_record) for i in range(tile.rows)]
        minus = [splat(b, load(b, at(b, row, 4 * layout.block_size), F32), layout.lanes) for row in rows]
        totals = [[value] * tile.vectors for value in minus]
        if layout.has_zero_points:
            points = [b.uitofp(_zero_points(b, layout, zero_points, j), wide) for j in range(tile.vectors)]
            totals = [[b.fmul(value, point) for point in points] for value in minus]
        stop = const(words) if unrolled == words else opaque(b, const(words))
        loop = Loop(b, stop, _flat(totals), step=unrolled)
        weights = b.add(weights, b.mul(loop.index, const(4 * layout.lanes)))
        panel = b.add(panel, b.mul(loop.index, const(4 * fields)))
        totals = list(loop.values)
        for k in range(unrolled * fields):
            word, field = divmod(k, fields)
            places = [at(b, weights, j * layout.vector_bytes + word * layout.lanes * 4) for j in range(tile.vectors)]
            values = [b.sitofp(_field(b, load(b, place, whole), layout.bits, field), wide) for place in places]
            for i in range(tile.rows):
                activation = splat(b, load(b, at(b, panel, i * tile.panel_record + 4 * k), F32), layout.lanes)
                for j, value in enumerate(values):
                    index = i * tile.vectors + j
                    totals[index] = multiply_add(b, activation, value, totals[index])
        return _by_row(tile, loop.end(totals))

    return tile.code(block, None)


def _field(b: ir.IRBuilder, words: Value, bits: int, field: int) -> Value:
    """One field of each word, left where it is; the last is shifted down, for its top bit must be no sign."""
    lanes = words.type.count
    if (field + 1) * bits == 32:
        return b.lshr(words, fill(I32, lanes, 32 - bits))
    return b.and_(words, fill(I32, lanes, ((1 << bits) - 1) << (bits * field)))


def multiply_add(b: ir.IRBuilder, x: Value, y: Value, z: Value) -> Value:
    """x * y + z, fused where the processor can."""
    return call(b, f"llvm.fmuladd.{suffix(x.type)}", x.type, [x, y, z])


def _prefetch(b: ir.IRBuilder, address: Value) -> None:
    pointer = b.inttoptr(address, I8.as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [pointer.type, I32, I32, I32])
    name = "llvm.prefetch.p0"
    function = b.module.globals.get(name) or ir.Function(b.module, kind, name)
    b.call(function, [pointer, I32(0), I32(3), I32(1)])
