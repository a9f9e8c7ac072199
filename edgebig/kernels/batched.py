"""Products of two activations, matrix by matrix: what attention needs where it is not one step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from edgebig.kernels.batched_tile import (
    EXACT_PRODUCTS,
    MOST_STACK,
    Layout,
    check_lanes,
    fitting_lanes,
    load_row,
    multiply,
    pieces,
    start,
    tile_rows,
    transpose,
)
from edgebig.kernels.elementwise_loop import check_counts, share
from edgebig.kernels.epilogue import Requantize, requantize, store_part, to_float
from edgebig.kernels.errors import KernelError
from edgebig.kernels.float_rows import stepped
from edgebig.kernels.vector import F32, I32, Loop, Value, at, const, fill, minimum, splat, stack, store, vector_of


@dataclass(frozen=True)
class BatchedMatMul:
    """y = (a - za) @ (b - zb) * scale, for every head of every entry of the batch.

    Sums of u8 values are exact 32-bit integers, whatever their length, and then scaled in float32; those of f32 are in
    float32. The columns of b are gathered, one vector wide, on the stack; the rows of a are read in place (u8: as
    floats in the workspace).

    Attributes:
        batch: Entries of the batch.
        rows: Rows of a and y.
        inner: Columns of a.
        columns: Columns of y.
        transpose_b: b is [columns, inner], not [inner, columns].
        heads: Heads of each entry.
        a: Where a lies; None means heads and entries one after the other, without gaps. Likewise b, y.
        element: "f32" or "u8": what a and b hold.
        zero_points: Of a and b, where they are u8.
        scale: What sums are multiplied with: of u8 results, divided by the scale of y.
        output: How the results become u8; None keeps f32.
        lanes: Length of the vectors, 4, 8 or 16; 0 means what suits the processor.

    Raises:
        KernelError: A count is below 1, a name is not known, or `inner` is so large that two vectors of columns of b do
            not fit the stack.
    """

    batch: int
    rows: int
    inner: int
    columns: int
    transpose_b: bool = False
    heads: int = 1
    a: Layout | None = None
    b: Layout | None = None
    y: Layout | None = None
    element: str = "f32"
    zero_points: tuple[int, int] = (0, 0)
    scale: float = 1.0
    output: Requantize | None = None
    lanes: int = 0
    tasks: int = 1

    def __post_init__(self) -> None:
        names = ("batch", "rows", "inner", "columns", "heads", "tasks")
        check_counts(**{name: getattr(self, name) for name in names})
        check_lanes(self.lanes)
        if self.element not in ("f32", "u8"):
            raise KernelError(f"element is {self.element!r}; known are 'f32' and 'u8'.")
        if 4 * self._width * self.inner > MOST_STACK:
            raise KernelError(f"{self.inner} inner columns do not fit {MOST_STACK} bytes of stack.")

    @property
    def operands(self) -> tuple[str, ...]:
        """The addresses that the built function takes; "workspace" only where `workspace_bytes` is not 0."""
        return ("a", "b", "workspace", "y") if self.workspace_bytes else ("a", "b", "y")

    @property
    def workspace_bytes(self) -> int:
        """How much memory, of no particular content, the step needs."""
        return 4 * self.tasks * self.rows * self.inner if self.element == "u8" else 0

    @property
    def _vectors(self) -> tuple[int, int]:
        return fitting_lanes(self.lanes, self.columns)

    @property
    def _width(self) -> int:
        lanes, vectors = self._vectors
        return lanes * vectors

    def _layout(self, name: str) -> Layout:
        rows, columns = {
            "a": (self.rows, self.inner),
            "b": (self.columns, self.inner) if self.transpose_b else (self.inner, self.columns),
            "y": (self.rows, self.columns),
        }[name]
        given: Layout | None = getattr(self, name)
        return given or Layout(columns, rows * columns, self.heads * rows * columns)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(*addresses, task)`; y must not overlap another operand."""
        # A panel is as many columns as the tile is wide; the last one begins earlier where it would be cut short.
        panels = -(-self.columns // self._width)

        def body(b: ir.IRBuilder, *values: Value) -> None:
            place, task = dict(zip(self.operands, values[:-1], strict=True)), values[-1]
            if self.workspace_bytes:
                own = b.mul(task, const(4 * self.rows * self.inner))
                place["workspace"] = b.add(place["workspace"], own)
            panel = stack(b, 4 * self._width * self.inner)
            first, last = share(b, self.batch * self.heads * panels, self.tasks, task)
            loop = Loop(b, last, start=first)
            fresh = b.icmp_signed("==", loop.index, first)
            self._emit(b, place, panel, loop.index, fresh, panels)
            loop.end()

        return stepped(len(self.operands), body)

    def _emit(
        self, b: ir.IRBuilder, place: Mapping[str, Value], panel: Value, unit: Value, fresh: Value, panels: int
    ) -> None:
        """One panel of columns of one matrix."""
        index, matrix = b.urem(unit, const(panels)), b.udiv(unit, const(panels))
        head, entry = b.urem(matrix, const(self.heads)), b.udiv(matrix, const(self.heads))
        count = min(self._width, self.columns)
        column = minimum(b, b.mul(index, const(self._width)), const(self.columns - count))

        def at_head(name: str, step: int, element_bytes: int) -> Value:
            layout = self._layout(name)
            return start(b, place[name], [(entry, layout.batch), (head, layout.head), (column, step)], element_bytes)

        size = 1 if self.element == "u8" else 4
        a, pitch = at_head("a", 0, size), 4 * self._layout("a").pitch
        if self.element == "u8":
            with b.if_then(b.or_(fresh, b.icmp_signed("==", index, const(0)))):
                self._widen(b, a, place["workspace"])
            a, pitch = place["workspace"], 4 * self.inner
        self._gather(b, at_head("b", self._layout("b").pitch if self.transpose_b else 1, size), panel, count)
        y = at_head("y", 1, 1 if self.output else 4)
        for first, height, times in pieces(self.rows, tile_rows(self._vectors[1])):
            loop = Loop(b, const(times))
            row = b.add(b.mul(loop.index, const(height)), const(first))
            sums = self._sums(b, b.add(a, b.mul(row, const(pitch))), panel, height, pitch)
            for r, values in enumerate(sums):
                self._store(b, values, y, b.add(row, const(r)), count)
            loop.end()

    def _widen(self, b: ir.IRBuilder, source: Value, target: Value) -> None:
        """The rows of a as floats, side by side."""
        rows = Loop(b, const(self.rows))
        source = b.add(source, b.mul(rows.index, const(self._layout("a").pitch)))
        target = b.add(target, b.mul(rows.index, const(4 * self.inner)))
        lanes, full = 16, self.inner // 16 * 16

        def widen(index: Value, count: int) -> None:
            value = load_row(b, b.add(source, index), count, lanes, self.zero_points[0])
            store_part(b, value, b.add(target, b.mul(index, const(4))), count, element_bytes=4)

        if full:
            loop = Loop(b, const(full), step=lanes)
            widen(loop.index, lanes)
            loop.end()
        if self.inner % lanes:
            widen(const(full), self.inner % lanes)
        rows.end()

    def _gather(self, b: ir.IRBuilder, source: Value, panel: Value, count: int) -> None:
        """Columns of b as floats: panel[inner][column]."""
        lanes, size = self._vectors[0], 1 if self.element == "u8" else 4
        zero_point = self.zero_points[1] if self.element == "u8" else None
        pitch = size * self._layout("b").pitch
        if self.transpose_b:

            def put(index: Value, first: int, _count: int, vector: Value) -> None:
                store(b, vector, at(b, b.add(panel, b.mul(index, const(4 * self._width))), 4 * first))

            transpose(b, source, count, self.inner, lanes, pitch_bytes=pitch, zero_point=zero_point, put=put)
            return
        loop = Loop(b, const(self.inner))
        source = b.add(source, b.mul(loop.index, const(pitch)))
        target = b.add(panel, b.mul(loop.index, const(4 * self._width)))
        for first in range(0, count, lanes):
            row = load_row(b, at(b, source, size * first), min(lanes, count - first), lanes, zero_point)
            store(b, row, at(b, target, 4 * first))
        loop.end()

    def _sums(self, b: ir.IRBuilder, a: Value, panel: Value, height: int, pitch: int) -> list[list[Value]]:
        """One tile. Sums of u8 values become integers before they would be rounded."""
        lanes, vectors = self._vectors

        def part(one: Value, many: Value, count: int) -> list[list[Value]]:
            zeros = [[fill(F32, lanes, 0.0)] * vectors] * height
            width = 4 * self._width
            return multiply(b, one, many, count, zeros, row_bytes=pitch, single_bytes=4, vector_bytes=width)

        if self.element == "f32" or self.inner <= EXACT_PRODUCTS:
            return part(a, panel, self.inner)
        ints = vector_of(I32, lanes)
        totals: list[Value] = [fill(I32, lanes, 0)] * (height * vectors)

        def add(totals: Sequence[Value], found: Sequence[Sequence[Value]]) -> list[Value]:
            flat = [value for row in found for value in row]
            return [b.add(total, b.fptosi(value, ints)) for total, value in zip(totals, flat, strict=True)]

        full, rest = divmod(self.inner, EXACT_PRODUCTS)
        loop = Loop(b, const(full), totals)
        one = b.add(a, b.mul(loop.index, const(4 * EXACT_PRODUCTS)))
        many = b.add(panel, b.mul(loop.index, const(4 * self._width * EXACT_PRODUCTS)))
        totals = loop.end(add(loop.values, part(one, many, EXACT_PRODUCTS)))
        if rest:
            done = full * EXACT_PRODUCTS
            totals = add(totals, part(at(b, a, 4 * done), at(b, panel, 4 * self._width * done), rest))
        return [totals[r * vectors : (r + 1) * vectors] for r in range(height)]

    def _store(self, b: ir.IRBuilder, sums: Sequence[Value], y: Value, row: Value, count: int) -> None:
        lanes, size = self._vectors[0], 1 if self.output else 4
        y = b.add(y, b.mul(row, const(size * self._layout("y").pitch)))
        factor = splat(b, ir.Constant(F32, self.scale), lanes)
        for v, value in enumerate(sums):
            part, place = min(lanes, count - lanes * v), at(b, y, size * lanes * v)
            if self.output is None:
                real = to_float(b, value)
                store_part(b, real if self.scale == 1 else b.fmul(real, factor), place, part, element_bytes=4)
            else:
                store_part(b, requantize(b, [value], [factor], self.output), place, part)
