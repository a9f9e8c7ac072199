"""The code of a MatMulNBits: which rows meet which outputs, in which order.

As many rows as fit are made ready in a panel on the stack; then group after group of outputs is multiplied with them,
tile of rows after tile of rows, so that a group's weights come from memory once and from a near cache after that.
"""

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels.integer import Int
from edgebig.kernels.nbits_layout import Layout
from edgebig.kernels.vector import I32, Loop, Value, const, load, stack, store

Emit = Callable[..., None]

# Stack that the activations of one pass may take.
PANEL_BYTES = 192 * 1024
# Rows of a tile: the work of unpacking weights is shared by them, and four use the registers well.
TILE_ROWS = 4


@dataclass(frozen=True)
class Work:
    """A product, cut into tiles.

    Attributes:
        layout: Of the weights.
        rows: Of x and y.
        inner: Inputs.
        columns: Outputs.
        panel_record: Bytes of a row's block in the panel.
        tasks: Parts of the work; each does some groups of outputs.
        prepare: `prepare(b, x, record)` makes one block of one row ready.
        multiply: `multiply(rows)` gives `emit(b, panel, weights, bias, y, pitch)`: so many rows by one group.
    """

    layout: Layout
    rows: int
    inner: int
    columns: int
    panel_record: int
    tasks: int
    prepare: Emit
    multiply: Callable[[int], Emit]

    @property
    def blocks(self) -> int:
        """Blocks of inputs."""
        return -(-self.inner // self.layout.block_size)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in the panel."""
        return self.blocks * self.panel_record

    @property
    def tile_rows(self) -> int:
        """Rows of a tile, but for the last."""
        return min(TILE_ROWS, PANEL_BYTES // self.row_bytes, self.rows)

    def emit(self, b: ir.IRBuilder, *values: Value) -> None:
        """All of one task; values are the addresses of x, weights, bias and y, and the task's number."""
        x, weights, bias, y, task = (Int(b, value) for value in values)
        at_once = min(PANEL_BYTES // self.row_bytes // self.tile_rows * self.tile_rows, self.rows)
        panel, size = Int(b, stack(b, at_once * self.row_bytes)), self.layout.block_size
        tail = Int(b, stack(b, 4 * size))
        edge = Int(b, stack(b, 4 * self.tile_rows * self.layout.outputs))
        _words(b, const(size), tail)
        groups = self.layout.groups(self.columns)
        first, last = task * groups // self.tasks, (task + 1) * groups // self.tasks
        loop = Loop(b, const(self.rows), step=at_once)
        start = Int(b, loop.index)
        count = (Int(b, self.rows) - start).least(at_once)
        self._fill(b, x + start * (4 * self.inner), panel, tail, count)
        by_group = Loop(b, last.value, start=first.value)
        group = Int(b, by_group.index)
        operands = (
            panel,
            weights + group * (self.blocks * self.layout.record),
            bias + group * (4 * self.layout.outputs),
            y + (start * self.columns + group * self.layout.outputs) * 4,
        )
        width = (Int(b, self.columns) - group * self.layout.outputs).least(self.layout.outputs)
        self._tiles(b, operands, edge, count, width)
        by_group.end()
        loop.end()

    def _fill(self, b: ir.IRBuilder, x: Int, panel: Int, tail: Int, count: Int) -> None:
        """Make rows ready, block by block; a last block that x holds only a part of goes by way of `tail`."""
        size, rest = self.layout.block_size, self.inner % self.layout.block_size
        by_row = Loop(b, count.value)
        row = Int(b, by_row.index)
        inside = row % self.tile_rows
        together = (count - row + inside).least(self.tile_rows)
        by_block = Loop(b, const(self.blocks))
        block = Int(b, by_block.index)
        source = x + row * (4 * self.inner) + block * (4 * size)
        place = panel + (row - inside) * self.row_bytes + (block * together + inside) * self.panel_record
        if rest:
            with b.if_then(block.compare("==", self.blocks - 1)):
                _words(b, const(rest), tail, source)
            source = block.choose("==", self.blocks - 1, tail, source)
        self.prepare(b, source.value, place.value)
        by_block.end()
        by_row.end()

    def _tiles(self, b: ir.IRBuilder, operands: tuple[Int, ...], edge: Int, count: Int, width: Int) -> None:
        """All tiles of rows by one group; where y is narrower than the group, by way of `edge`."""
        panel, weights, bias, y = operands
        full, outputs = self.tile_rows, self.layout.outputs
        loop = Loop(b, count.value, step=full)
        row = Int(b, loop.index)
        place = y + row * (4 * self.columns)
        to, pitch = place, Int(b, 4 * self.columns)
        if self.columns % outputs:
            to = width.choose("==", outputs, place, edge)
            pitch = width.choose("==", outputs, pitch, 4 * outputs)
        arguments = [part.value for part in (panel + row * self.row_bytes, weights, bias, to, pitch)]
        if self.rows % full:
            with b.if_else((row + full).compare("<=", count)) as (whole, part):
                with whole:
                    self.multiply(full)(b, *arguments)
                with part:
                    self.multiply(self.rows % full)(b, *arguments)
        else:
            self.multiply(full)(b, *arguments)
        if self.columns % outputs:
            with b.if_then(width.compare("<", outputs)):
                copies = Loop(b, (count - row).least(full).value)
                i = Int(b, copies.index)
                _words(b, width.value, place + i * (4 * self.columns), edge + i * (4 * outputs))
                copies.end()
        loop.end()


def _words(b: ir.IRBuilder, count: Value, to: Int, source: Int | None = None) -> None:
    """Copy so many 32-bit words, or set them to zero."""
    loop = Loop(b, count)
    offset = Int(b, loop.index) * 4
    store(b, I32(0) if source is None else load(b, (source + offset).value, I32), (to + offset).value)
    loop.end()
