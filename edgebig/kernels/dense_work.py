"""The code of a dense convolution: which rows meet which filters, in which order.

A block of rows (output pixels) is small enough that its panel stays in a near cache; for it, block after block of
filters is multiplied, so the weights stream through once per block of rows. The last tile of rows overlaps the one
before rather than being smaller: no tile is a special case, and equal bytes are written twice.
"""

from dataclasses import dataclass, replace

from llvmlite import ir

from edgebig.kernels.integer import Int
from edgebig.kernels.packing import Blocks
from edgebig.kernels.panel import Panel
from edgebig.kernels.tile import Tile
from edgebig.kernels.vector import Loop, Value, const, stack

PANEL_BYTES = 160 * 1024  # stays in a second-level cache while the weights pass through the first
_TILES_PER_TASK = 4  # with fewer, tasks share the filters instead if there are more of them


@dataclass(frozen=True)
class Work:
    """A dense convolution, cut into tiles.

    Attributes:
        panel: How windows are gathered; None where tiles read the image itself.
        tile: Of a full block of filters.
        blocks: The filters of a group.
        groups: Groups of channels and filters.
        group_x_bytes: Bytes between the first channels of neighbouring groups.
        rows: Output pixels.
        y_bytes: Bytes of an output value.
        tasks: Parts of the work.
    """

    panel: Panel | None
    tile: Tile
    blocks: Blocks
    groups: int
    group_x_bytes: int
    rows: int
    y_bytes: int
    tasks: int

    @property
    def tiles(self) -> int:
        """Tiles of rows."""
        return -(-self.rows // self.tile.rows)

    @property
    def units(self) -> int:
        """Blocks of filters in all groups."""
        return self.groups * self.blocks.count

    @property
    def tiles_at_once(self) -> int:
        """Tiles in a block of rows."""
        return min(self.tiles, max(1, PANEL_BYTES // self.tile.a_pitch // self.tile.rows))

    def emit(self, b: ir.IRBuilder, *values: Value) -> None:
        """All of one task; values are the addresses of x, weights, bias, multiplier and y, and the task's number."""
        *addresses, task = (Int(b, value) for value in values)
        tiles, units, tasks = self.tiles, self.units, self.tasks
        if tiles >= min(units, _TILES_PER_TASK * tasks):
            first, last, unit, end = task * tiles // tasks, (task + 1) * tiles // tasks, Int(b, 0), Int(b, units)
        else:
            first, last, unit, end = Int(b, 0), Int(b, tiles), task * units // tasks, (task + 1) * units // tasks
        size = self.tiles_at_once * self.tile.rows * self.tile.a_pitch
        panel = None if self.panel is None else Int(b, stack(b, size))
        steps = (last - first + (self.tiles_at_once - 1)) // self.tiles_at_once
        loop = Loop(b, steps.value)
        step = Int(b, loop.index)
        start, stop = (first + (step + i) * (last - first) // steps for i in (0, 1))
        self._block_of_rows(b, addresses, panel, (start, stop), (unit, end))
        loop.end()

    def _block_of_rows(
        self, b: ir.IRBuilder, addresses: list[Int], panel: Int | None, tiles: tuple[Int, Int], units: tuple[Int, Int]
    ) -> None:
        """A range of tiles of rows times a range of blocks of filters."""
        x, weights, bias, multiplier, y = addresses
        blocks, top = self.blocks, self._row(tiles[0])
        loop = Loop(b, units[1].value, [const(-1)], start=units[0].value)
        group, block = Int(b, loop.index) // blocks.count, Int(b, loop.index) % blocks.count
        group_x = x + group * self.group_x_bytes
        if self.panel is None or panel is None:
            a = group_x + top * self.tile.a_pitch
        else:
            a = panel
            with b.if_then(group.compare("!=", Int(b, loop.values[0]))):
                self.panel.emit(b, group_x, panel, top, (tiles[1] * self.tile.rows).least(self.rows))
        w = weights + group * blocks.group_bytes + block * blocks.block_bytes
        constant = (group * blocks.padded + block * blocks.width) * 4
        to = y + (group * blocks.filters + block * blocks.width) * self.y_bytes
        operands = (a, w, bias + constant, multiplier + constant, to)
        last = replace(self.tile, vectors=blocks.rest_vectors, filters=blocks.rest)
        if not blocks.rest:
            self._tiles(b, self.tile, operands, top, tiles)
        elif not blocks.full:
            self._tiles(b, last, operands, top, tiles)
        else:
            with b.if_else(block.compare("<", blocks.full)) as (full, rest):
                with full:
                    self._tiles(b, self.tile, operands, top, tiles)
                with rest:
                    self._tiles(b, last, operands, top, tiles)
        loop.end([group.value])

    def _tiles(self, b: ir.IRBuilder, tile: Tile, operands: tuple[Int, ...], top: Int, tiles: tuple[Int, Int]) -> None:
        """A range of tiles of rows times one block of filters; `operands` begin at row `top`, the output at row 0."""
        a, w, bias, multiplier, y = operands
        loop = Loop(b, tiles[1].value, start=tiles[0].value)
        row = self._row(Int(b, loop.index))
        a, y = a + (row - top) * tile.a_pitch, y + row * tile.y_pitch
        tile.emit(b, *(address.value for address in (a, w, bias, multiplier, y)))
        loop.end()

    def _row(self, tile: Int) -> Int:
        """First row of a tile: the last one is moved up, so that it ends with the last row."""
        return (tile * self.tile.rows).least(self.rows - self.tile.rows)
