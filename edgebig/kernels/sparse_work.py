"""The code of a sparse convolution: which rows meet which filters, in which order.

As for a dense one, a block of rows is gathered into a panel, and sixteen filters after sixteen are multiplied with it.
Where rows are few, tasks share the filters, by the kept blocks rather than by their number.
"""

from dataclasses import dataclass, replace

from llvmlite import ir

from edgebig.kernels.dense_work import PANEL_BYTES
from edgebig.kernels.integer import Int, Number
from edgebig.kernels.panel import Panel
from edgebig.kernels.sparse_pack import FILTERS
from edgebig.kernels.sparse_tile import SparseTile
from edgebig.kernels.vector import I32, I64, Loop, Value, const, load, stack

_TILES_PER_TASK = 4  # with fewer, tasks share the filters instead if there are more of them
# What finishing a tile costs, in kept blocks: sixteen filters without any still take their share of the work.
_FINISH = 4


@dataclass(frozen=True)
class SparseWork:
    """A sparse convolution, cut into tiles.

    Attributes:
        panel: How windows are gathered; None where tiles read the image itself.
        tile: Of sixteen filters.
        filters: Of the convolution.
        rows: Output pixels.
        y_bytes: Bytes of an output value.
        tasks: Parts of the work.
    """

    panel: Panel | None
    tile: SparseTile
    filters: int
    rows: int
    y_bytes: int
    tasks: int

    @property
    def tiles(self) -> int:
        """Tiles of rows."""
        return -(-self.rows // self.tile.rows)

    @property
    def units(self) -> int:
        """Rows of blocks: sixteen filters each."""
        return -(-self.filters // FILTERS)

    @property
    def tiles_at_once(self) -> int:
        """Tiles in a block of rows."""
        return min(self.tiles, max(1, PANEL_BYTES // self.tile.a_pitch // self.tile.rows))

    def emit(self, b: ir.IRBuilder, *values: Value) -> None:
        """All of one task; values are the addresses of x, weights, index, starts, bias, multiplier, y, and the task."""
        *addresses, task = (Int(b, value) for value in values)
        tiles, tasks, starts = self.tiles, self.tasks, addresses[3]
        if tasks == 1 or tiles >= min(self.units, _TILES_PER_TASK * tasks):
            first, last = task * tiles // tasks, (task + 1) * tiles // tasks
            unit, end = Int(b, 0), Int(b, self.units)
        else:
            first, last = Int(b, 0), Int(b, tiles)
            unit, end = self._share(b, starts, task), self._share(b, starts, task + 1)
        size = self.tiles_at_once * self.tile.rows * self.tile.a_pitch
        panel = None if self.panel is None else Int(b, stack(b, size))
        steps = (last - first + (self.tiles_at_once - 1)) // self.tiles_at_once
        loop = Loop(b, steps.value)
        step = Int(b, loop.index)
        start, stop = (first + (step + i) * (last - first) // steps for i in (0, 1))
        self._block_of_rows(b, addresses, panel, (start, stop), (unit, end))
        loop.end()

    def _share(self, b: ir.IRBuilder, starts: Int, task: Int) -> Int:
        """The first unit of a task: how many units have less than its share of the cost before them."""
        total = _kept_before(b, starts, self.units) + _FINISH * self.units
        loop = Loop(b, const(self.units), [const(0)])
        unit, count = Int(b, loop.index), Int(b, loop.values[0])
        cost = (_kept_before(b, starts, unit) + unit * _FINISH) * self.tasks
        return Int(b, loop.end([cost.choose("<", task * total, count + 1, count).value])[0])

    def _block_of_rows(
        self, b: ir.IRBuilder, addresses: list[Int], panel: Int | None, tiles: tuple[Int, Int], units: tuple[Int, Int]
    ) -> None:
        """A range of tiles of rows times a range of units of filters."""
        x, weights, index, starts, bias, multiplier, y = addresses
        top = self._row(tiles[0])
        if self.panel is None or panel is None:
            a = x + top * self.tile.a_pitch
        else:
            a = panel
            self.panel.emit(b, x, panel, top, (tiles[1] * self.tile.rows).least(self.rows))
        loop = Loop(b, units[1].value, start=units[0].value)
        unit = Int(b, loop.index)
        first, line = _kept_before(b, starts, unit), unit * (4 * FILTERS)
        kept = (weights + first * self.tile.block_bytes, index + first * 4, _kept_before(b, starts, unit + 1) - first)
        operands = (a, *kept, bias + line, multiplier + line, y + unit * (FILTERS * self.y_bytes))
        full, rest = divmod(self.filters, FILTERS)
        last = replace(self.tile, filters=rest)
        if not rest:
            self._tiles(b, self.tile, operands, top, tiles)
        elif not full:
            self._tiles(b, last, operands, top, tiles)
        else:
            with b.if_else(unit.compare("<", full)) as (whole, part):
                with whole:
                    self._tiles(b, self.tile, operands, top, tiles)
                with part:
                    self._tiles(b, last, operands, top, tiles)
        loop.end()

    def _tiles(
        self, b: ir.IRBuilder, tile: SparseTile, operands: tuple[Int, ...], top: Int, tiles: tuple[Int, Int]
    ) -> None:
        """A range of tiles of rows times one unit; `operands` begin at row `top`, the output at row 0."""
        a, *others, y = operands
        loop = Loop(b, tiles[1].value, start=tiles[0].value)
        row = self._row(Int(b, loop.index))
        a, y = a + (row - top) * tile.a_pitch, y + row * tile.y_pitch
        tile.emit(b, *(operand.value for operand in (a, *others, y)))
        loop.end()

    def _row(self, tile: Int) -> Int:
        """First row of a tile: the last one is moved up, so that it ends with the last row."""
        return (tile * self.tile.rows).least(self.rows - self.tile.rows)


def _kept_before(b: ir.IRBuilder, starts: Int, unit: Number) -> Int:
    """Kept blocks of the units before this one."""
    return Int(b, b.zext(load(b, (starts + Int(b, 4) * unit).value, I32), I64))
