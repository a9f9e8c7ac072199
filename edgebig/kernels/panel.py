"""The panel: the window of every output pixel laid out as one row (im2col), so that all convolutions share one tile.

A row holds the window in the order (height, width, channels), widened to what the dot product reads. Places outside
the image hold the zero point of the input. The panel covers a few dozen rows at a time and stays in the nearest cache.
"""

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels.integer import Int
from edgebig.kernels.vector import F32, I8, I16, I32, Loop, Value, at, const, fill, load, splat, store, vector_of


@dataclass(frozen=True)
class Window:
    """Which part of an image each row of the panel holds.

    Attributes:
        height: Of the image.
        width: Of the image.
        out_height: Rows of output pixels.
        out_width: Output pixels in a row.
        channels: Values taken at each position of the window.
        kernel: Height and width of the window.
        strides: Distance of neighbouring windows.
        dilations: Distance of neighbouring positions in a window.
        pads: Rows above and columns to the left of the image.
        padded: Whether some window reaches outside the image.
        x_pitch: Values between neighbouring pixels of the image.
        padding: The value outside the image: a number, or an i32 known at run time.
    """

    height: int
    width: int
    out_height: int
    out_width: int
    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int]
    padded: bool
    x_pitch: int
    padding: Value | int

    @property
    def run(self) -> int:
        """Positions of a window that lie side by side in memory."""
        return self.kernel[1] if self.dilations[1] == 1 and self.x_pitch == self.channels else 1


@dataclass(frozen=True)
class Values:
    """How values of the image become values of the panel.

    Attributes:
        kind: "u8" as they are, "s8" with the top bit flipped, "i16" widened, or "f32".
    """

    kind: str

    @property
    def x_bytes(self) -> int:
        """Bytes of a value in the image."""
        return 4 if self.kind == "f32" else 1

    @property
    def panel_bytes(self) -> int:
        """Bytes of a value in the panel."""
        return {"u8": 1, "s8": 1, "i16": 2, "f32": 4}[self.kind]

    def copy(self, b: ir.IRBuilder, x: Value, panel: Value, count: int) -> None:
        """Code that copies `count` values and touches nothing behind them."""

        def move(first: Value | int, lanes: int) -> None:
            value = load(b, self._at(b, x, first, self.x_bytes), vector_of(F32 if self.kind == "f32" else I8, lanes))
            if self.kind == "s8":
                value = b.xor(value, fill(I8, lanes, -128))
            elif self.kind == "i16":
                value = b.zext(value, vector_of(I16, lanes))
            store(b, value, self._at(b, panel, first, self.panel_bytes))

        self._cover(b, count, move)

    def fill(self, b: ir.IRBuilder, panel: Value, count: int, padding: Value | int) -> None:
        """Code that sets `count` values to the padding: a number, or an i32 known at run time."""
        element = {"u8": I8, "s8": I8, "i16": I16, "f32": F32}[self.kind]
        if isinstance(padding, int):
            number = {"s8": (padding ^ 0x80), "f32": float(padding)}.get(self.kind, padding)
            value = ir.Constant(element, number)
        else:
            value = b.trunc(b.xor(padding, I32(0x80)) if self.kind == "s8" else padding, element)

        def put(first: Value | int, lanes: int) -> None:
            store(b, splat(b, value, lanes), self._at(b, panel, first, self.panel_bytes))

        self._cover(b, count, put)

    def _at(self, b: ir.IRBuilder, base: Value, first: Value | int, size: int) -> Value:
        if isinstance(first, int):
            return at(b, base, first * size)
        return b.add(base, b.mul(first, const(size)))

    def _cover(self, b: ir.IRBuilder, count: int, move: Callable[[Value | int, int], None]) -> None:
        """Whole chunks, then one more that ends with the last value and may repeat some of those before it."""
        chunk = min(32 // self.panel_bytes, 1 << (count.bit_length() - 1))
        whole = count // chunk
        if whole > 8:
            loop = Loop(b, const(whole * chunk), step=chunk)
            move(loop.index, chunk)
            loop.end()
        else:
            for i in range(whole):
                move(i * chunk, chunk)
        if count % chunk:
            move(count - chunk, chunk)


@dataclass(frozen=True)
class Panel:
    """Code that fills a panel.

    Attributes:
        window: The geometry.
        values: How values are converted.
        pitch: Bytes between rows of the panel.
    """

    window: Window
    values: Values
    pitch: int

    def emit(self, b: ir.IRBuilder, x: Int, panel: Int, first: Int, last: Int) -> None:
        """Fill the panel with the windows of output pixels first..last - 1.

        Args:
            b: The builder.
            x: Address of the first channel taken of the first pixel.
            panel: Address of the panel's first row.
            first: The output pixel, counted through the batch, of the first row.
            last: One more than that of the last.
        """
        window = self.window
        pixels = window.out_height * window.out_width
        start = [first // pixels, first % pixels // window.out_width, first % window.out_width, panel]
        loop = Loop(b, last.value, [part.value for part in start], start=first.value)
        image, row, column, place = (Int(b, value) for value in loop.values)
        self._row(b, x, image, row, column, place)
        next_column = (column + 1).choose("<", window.out_width, column + 1, 0)
        next_row = next_column.choose("==", 0, row + 1, row)
        wrapped = next_row.choose("<", window.out_height, next_row, 0)
        next_image = next_row.choose("<", window.out_height, image, image + 1)
        loop.end([part.value for part in (next_image, wrapped, next_column, place + self.pitch)])

    def _row(self, b: ir.IRBuilder, x: Int, image: Int, row: Int, column: Int, place: Int) -> None:
        window = self.window
        down = row * window.strides[0] - window.pads[0]
        right = column * window.strides[1] - window.pads[1]
        pixel = window.x_pitch * self.values.x_bytes
        source = x + ((image * window.height + down) * window.width + right) * pixel
        last_down = (window.kernel[0] - 1) * window.dilations[0]
        last_right = (window.kernel[1] - 1) * window.dilations[1]
        if not window.padded:
            self._inner(b, source, place)
            return
        whole = b.and_(
            b.and_(down.inside(window.height), (down + last_down).inside(window.height)),
            b.and_(right.inside(window.width), (right + last_right).inside(window.width)),
        )
        with b.if_else(whole) as (inner, border):
            with inner:
                self._inner(b, source, place)
            with border:
                self._border(b, source, place, down, right)

    def _inner(self, b: ir.IRBuilder, source: Int, place: Int) -> None:
        """The whole window lies in the image: copy it in runs as long as memory has them."""
        window, values = self.window, self.values
        pixel, position = window.x_pitch * values.x_bytes, window.channels * values.panel_bytes
        rows = Loop(b, const(window.kernel[0]), [source.value, place.value])
        runs = Loop(b, const(window.kernel[1] // window.run), rows.values)
        x, panel = (Int(b, value) for value in runs.values)
        values.copy(b, x.value, panel.value, window.run * window.channels)
        _, panel_end = runs.end([(x + window.dilations[1] * pixel).value, (panel + window.run * position).value])
        next_row = Int(b, rows.values[0]) + window.dilations[0] * window.width * pixel
        rows.end([next_row.value, panel_end])

    def _border(self, b: ir.IRBuilder, source: Int, place: Int, down: Int, right: Int) -> None:
        """Part of the window lies outside: go position by position."""
        window, values = self.window, self.values
        pixel, position = window.x_pitch * values.x_bytes, window.channels * values.panel_bytes
        rows = Loop(b, const(window.kernel[0]), [source.value, place.value])
        in_height = (down + Int(b, rows.index) * window.dilations[0]).inside(window.height)
        columns = Loop(b, const(window.kernel[1]), rows.values)
        in_width = (right + Int(b, columns.index) * window.dilations[1]).inside(window.width)
        x, panel = (Int(b, value) for value in columns.values)
        with b.if_else(b.and_(in_height, in_width)) as (inside, outside):
            with inside:
                values.copy(b, x.value, panel.value, window.channels)
            with outside:
                values.fill(b, panel.value, window.channels, window.padding)
        _, panel_end = columns.end([(x + window.dilations[1] * pixel).value, (panel + position).value])
        rows.end([(Int(b, rows.values[0]) + window.dilations[0] * window.width * pixel).value, panel_end])
