"""Transposing a plane of small elements in blocks that fit registers.

A block is a matrix of vectors: row i holds neighbouring elements of row i. Interleaving vector i with vector i + half,
for all i, moves the top bit of an element's number [row][column] to the bottom; after log2(rows) such rounds the
row bits stand behind the column bits, which is the transpose (Stone, "Parallel processing with the perfect shuffle",
1971). Each round is one unpack instruction a vector.
"""

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels.vector import Loop, Value, at, const, load, minimum, shuffle, store, vector_of

# Bytes of an element: elements along a block's side. 16 bytes are an SSE vector, 32 an AVX one.
SIDES = {1: 16, 2: 8, 4: 8, 8: 4}
# Blocks side by side that are done before those below them: rows of x are read in runs that the processor can foresee.
_RUN = 8


@dataclass(frozen=True)
class Plane:
    """x[row * x_pitch + column] -> y[column * y_pitch + row]; pitches are in bytes.

    Attributes:
        element: Type of the elements while they are moved.
        side: Elements along a block's side; a power of two.
        x_bytes: Bytes of an element of x, y_bytes of y: another type may be loaded or stored.
    """

    rows: int
    columns: int
    x_pitch: int
    y_pitch: int
    element: ir.Type
    side: int
    x_bytes: int
    y_bytes: int

    @property
    def block(self) -> tuple[int, int]:
        """Rows and columns of a block: no more than the plane has."""
        return tuple(min(self.side, 1 << (count.bit_length() - 1)) for count in (self.rows, self.columns))  # type: ignore[return-value]

    @property
    def blocks(self) -> tuple[int, int]:
        """How many blocks cover the plane, down and across; the last ones overlap those before."""
        down, across = self.block
        return -(-self.rows // down), -(-self.columns // across)


Load = Callable[[ir.IRBuilder, Value, int], Value]
"""`load(builder, address, lanes)` gives neighbouring elements of a row of x."""
Store = Callable[[ir.IRBuilder, Value, Value], None]
"""`store(builder, vector, address)` puts neighbouring elements of a row of y."""


def emit_plane(
    b: ir.IRBuilder, plane: Plane, x: Value, y: Value, read: Load, write: Store, first: Value, last: Value
) -> None:
    """Emit the transposition of the plane's columns of blocks `first` to `last`; each writes whole rows of y."""
    down, across = plane.block
    run = Loop(b, last, start=first, step=_RUN)
    stop = minimum(b, b.add(run.index, const(_RUN)), last)
    outer = Loop(b, const(plane.blocks[0]))
    row = minimum(b, b.mul(outer.index, const(down)), const(plane.rows - down))
    inner = Loop(b, stop, start=run.index)
    column = minimum(b, b.mul(inner.index, const(across)), const(plane.columns - across))
    source = b.add(x, b.add(b.mul(row, const(plane.x_pitch)), b.mul(column, const(plane.x_bytes))))
    target = b.add(y, b.add(b.mul(column, const(plane.y_pitch)), b.mul(row, const(plane.y_bytes))))
    rows = [read(b, at(b, source, i * plane.x_pitch), across) for i in range(down)]
    for i, vector in enumerate(transposed(b, rows)):
        write(b, vector, at(b, target, i * plane.y_pitch))
    inner.end()
    outer.end()
    run.end()


def transposed(b: ir.IRBuilder, rows: list[Value]) -> list[Value]:
    """The columns of a block given by its rows; both numbers are powers of two."""
    down, across = len(rows), rows[0].type.count
    for _ in range(down.bit_length() - 1):
        rows = [part for i in range(down // 2) for part in interleaved(b, rows[i], rows[i + down // 2])]
    if down <= across:  # each vector holds several columns
        share = across // down
        return [shuffle(b, v, v, range(i * down, (i + 1) * down)) for v in rows for i in range(share)]
    columns = rows
    while len(columns) > across:
        lanes = 2 * columns[0].type.count
        columns = [
            shuffle(b, left, right, range(lanes)) for left, right in zip(columns[::2], columns[1::2], strict=True)
        ]
    return columns


def interleaved(b: ir.IRBuilder, left: Value, right: Value) -> tuple[Value, Value]:
    """The elements of two vectors in turn, as two vectors."""
    lanes = left.type.count
    order = [lane for pair in zip(range(lanes), range(lanes, 2 * lanes), strict=True) for lane in pair]
    if lanes == 1:
        return left, right
    return shuffle(b, left, right, order[:lanes]), shuffle(b, left, right, order[lanes:])


def plain_load(element: ir.Type) -> Load:
    """Load elements as they are."""
    return lambda b, address, lanes: load(b, address, vector_of(element, lanes))


def plain_store(b: ir.IRBuilder, vector: Value, address: Value) -> None:
    """Store elements as they are."""
    store(b, vector, address)
