"""The code of a dense convolution: which rows meet which filters, in which order.

A block of rows (output pixels) is small enough that its panel stays in a near cache; for it, block after block of
filters is multiplied, so the weights stream through once per block of rows. The last tile of rows overlaps the one
before rather than being smaller: no tile is a special case, and equal bytes are written twice.

Where the weights of a block of filters are too large for the first-level cache, they are used piece by piece, each on
all tiles of the block of rows, and the accumulators wait on the stack.
"""

from dataclasses import dataclass, replace

from llvmlite import ir

from edgebig.kernels.integer import Int
from edgebig.kernels.packing import Blocks
from edgebig.kernels.panel import Panel
from edgebig.kernels.tile import Tile
from edgebig.kernels.vector import Loop, Value, const, stack

PANEL_BYTES = 160 * 1024  # stays in a second-level cache while the weights pass through the first
NEAR_BYTES = 16 * 1024  # stays in a first-level cache
PIECE_BYTES = 20 * 1024  # of weights: leaves room for activations in a first-level cache of 32 KB
_ROWS_IN_PIECES = 96  # what a piece of them takes fits a second-level cache, whatever the length of the rows
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
        few = self.blocks.group_bytes <= PIECE_BYTES  # the weights stay in the first-level cache: let the rest do, too
        row_bytes = self.tile.a_pitch + self.tile.y_pitch
        fitting = (NEAR_BYTES if few else PANEL_BYTES) // (row_bytes * self.tile.rows)
        if self.panel is None and self.pieces > 1:
            fitting = max(fitting, _ROWS_IN_PIECES // self.tile.rows)
        return min(self.tiles, max(1, fitting))

    @property
    def pieces(self) -> int:
        """Pieces into which the weights of a block are cut; with few tiles to use them on it does not pay."""
        return max(1, -(-self.tile.depth * self.tile.element_bytes // PIECE_BYTES)) if self.tiles > 2 else 1

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
        sums = None if self.pieces == 1 else Int(b, stack(b, self.tiles_at_once * self.tile.sums_bytes))
        steps = (last - first + (self.tiles_at_once - 1)) // self.tiles_at_once
        loop = Loop(b, steps.value)
        step = Int(b, loop.index)
        start, stop = (first + (step + i) * (last - first) // steps for i in (0, 1))
        self._block_of_rows(b, addresses, (panel, sums), (start, stop), (unit, end))
        loop.end()

    def _block_of_rows(
        self,
        b: ir.IRBuilder,
        addresses: list[Int],
        places: tuple[Int | None, Int | None],
        tiles: tuple[Int, Int],
        units: tuple[Int, Int],
    ) -> None:
        """A range of tiles of rows times a range of blocks of filters; `places` are for the panel and the sums."""
        (x, weights, bias, multiplier, y), (panel, sums) = addresses, places
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
            self._tiles(b, self.tile, operands, sums, top, tiles)
        elif not blocks.full:
            self._tiles(b, last, operands, sums, top, tiles)
        else:
            with b.if_else(block.compare("<", blocks.full)) as (full, rest):
                with full:
                    self._tiles(b, self.tile, operands, sums, top, tiles)
                with rest:
                    self._tiles(b, last, operands, sums, top, tiles)
        loop.end([group.value])

    def _tiles(
        self,
        b: ir.IRBuilder,
        tile: Tile,
        operands: tuple[Int, ...],
        sums: Int | None,
        top: Int,
        tiles: tuple[Int, Int],
    ) -> None:
        """A range of tiles of rows times one block of filters; `operands` begin at row `top`, the output at row 0."""
        a, w, bias, multiplier, y = operands
        if sums is not None:
            depth = -(-tile.depth // self.pieces)
            whole = (tile.depth - 1) // depth
            self._pieces(b, replace(tile, depth=depth), whole, (a, w, bias), sums, top, tiles)
            a, w = a + 4 * depth * whole, w + tile.element_bytes * depth * whole
            tile = replace(tile, depth=tile.depth - depth * whole)
        loop = Loop(b, tiles[1].value, start=tiles[0].value)
        row = self._row(Int(b, loop.index))
        own = [part.value for part in (a + (row - top) * tile.a_pitch, w, bias, multiplier, y + row * tile.y_pitch)]
        waiting = None if sums is None else (sums + (Int(b, loop.index) - tiles[0]) * tile.sums_bytes).value
        tile.emit(b, own, waiting)
        loop.end()

    def _pieces(
        self,
        b: ir.IRBuilder,
        tile: Tile,
        count: int,
        operands: tuple[Int, Int, Int],
        sums: Int,
        top: Int,
        tiles: tuple[Int, Int],
    ) -> None:
        """The first `count` pieces of a block's weights on a range of tiles; the accumulators go to `sums`."""
        a, w, bias = operands
        loop = Loop(b, (tiles[1] - tiles[0]).value)
        tile.begin(b, bias.value, (sums + Int(b, loop.index) * tile.sums_bytes).value)
        loop.end()
        pieces = Loop(b, const(count), [a.value, w.value])
        a, w = (Int(b, value) for value in pieces.values)
        loop = Loop(b, tiles[1].value, start=tiles[0].value)
        index = Int(b, loop.index)
        place = sums + (index - tiles[0]) * tile.sums_bytes
        tile.accumulate(b, (a + (self._row(index) - top) * tile.a_pitch).value, w.value, place.value)
        loop.end()
        pieces.end([(a + 4 * tile.depth).value, (w + tile.element_bytes * tile.depth).value])

    def _row(self, tile: Int) -> Int:
        """First row of a tile: the last one is moved up, so that it ends with the last row."""
        return (tile * self.tile.rows).least(self.rows - self.tile.rows)
