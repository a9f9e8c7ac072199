"""Windows sliding over an NHWC image: which part of each lies inside, and the loops over them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from llvmlite import ir

from edgebig.kernels.elementwise_loop import check_counts, runner, share
from edgebig.kernels.errors import KernelError
from edgebig.kernels.vector import F32, I8, I64, Loop, Value, const, load, maximum, minimum, vector_of

Element = Literal["u8", "f32"]
KINDS: dict[str, tuple[ir.Type, int]] = {"u8": (I8, 1), "f32": (F32, 4)}
# Windows of at most this many elements are unrolled where they lie inside.
_UNROLLED = 16


@dataclass(frozen=True)
class Window:
    """The geometry of a sliding window.

    Attributes:
        size: Height and width of the image.
        kernel: Elements of the window, down and across.
        strides: Steps between windows.
        dilations: Steps between a window's elements.
        pads: Rows and columns around the image: top, left, bottom, right.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        for name in ("size", "kernel", "strides", "dilations"):
            down, across = getattr(self, name)
            check_counts(**{f"{name} down": down, f"{name} across": across})
        for axis in (0, 1):
            if min(self.pads[axis], self.pads[axis + 2]) < 0 or self.output[axis] < 1:
                raise KernelError(f"{self} has no output; its pads must be at least 0 and the window fit in.")

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width of the window, with what its dilation leaves out."""
        return tuple((self.kernel[i] - 1) * self.dilations[i] + 1 for i in (0, 1))  # type: ignore[return-value]

    @property
    def output(self) -> tuple[int, int]:
        """Height and width of the result."""
        return tuple(  # type: ignore[return-value]
            (self.size[i] + self.pads[i] + self.pads[i + 2] - self.extent[i]) // self.strides[i] + 1 for i in (0, 1)
        )

    def reaches_out(self, axis: int) -> bool:
        """Whether any window holds padding along an axis."""
        last = (self.output[axis] - 1) * self.strides[axis] - self.pads[axis] + self.extent[axis]
        return self.pads[axis] > 0 or last > self.size[axis]

    def bounds(self, b: ir.IRBuilder, axis: int, position: Value) -> tuple[Value, Value, Value]:
        """Of the window at an output position: the image coordinate of its first element (maybe outside), the first
        element that lies inside, and the one after the last."""
        origin = b.sub(b.mul(position, const(self.strides[axis])), const(self.pads[axis]))
        if not self.reaches_out(axis):
            return origin, const(0), const(self.kernel[axis])
        dilation = self.dilations[axis]
        first = b.sdiv(b.sub(const(dilation - 1), minimum(b, origin, const(0))), const(dilation))
        last = b.sdiv(b.add(b.sub(const(self.size[axis]), origin), const(dilation - 1)), const(dilation))
        last = maximum(b, minimum(b, last, const(self.kernel[axis])), const(0))
        return origin, minimum(b, first, last), last


def check_image(batch: int, channels: int, x_pitch: int, y_pitch: int, tasks: int) -> None:
    """Refuse counts below 1, and pitches within which a pixel's channels do not fit.

    Raises:
        KernelError: There are such.
    """
    check_counts(batch=batch, channels=channels, tasks=tasks)
    for name, pitch in (("x_pitch", x_pitch), ("y_pitch", y_pitch)):
        if pitch and pitch < channels:
            raise KernelError(f"{name} is {pitch}; it must be 0 or at least the {channels} channels.")


def check_element(element: str) -> None:
    """Refuse an unknown type.

    Raises:
        KernelError: It is.
    """
    if element not in KINDS:
        raise KernelError(f"element is {element!r}; known are {', '.join(KINDS)}.")


def lanes_for(channels: int, most: int) -> int:
    """How many channels a vector takes: a power of two, no more than there are."""
    return min(most, 1 << (channels.bit_length() - 1))


Reduce = Callable[[ir.IRBuilder, Value, Value], Value]
"""`reduce(builder, total, loaded vector)` gives the new total."""
Finish = Callable[[ir.IRBuilder, Value, Value, Value], None]
"""`finish(builder, total, elements inside the image, address of the output)` stores a result."""


@dataclass(frozen=True)
class Slide:
    """What `slide` needs: the geometry, the tensor's layout, and the split of the work."""

    window: Window
    batch: int
    channels: int
    element: ir.Type
    x_bytes: int
    y_bytes: int
    x_pitch: int
    y_pitch: int
    lanes: int
    tasks: int


def slide(plan: Slide, start: Value, reduce: Reduce, finish: Finish) -> Callable[..., Any]:
    """Build the jitted `run(x, y, task)` that reduces every window, a block of channels at a time.

    Args:
        plan: Shapes. The last block of channels overlaps the one before where the lanes do not divide the channels.
        start: The total of nothing.
        reduce: Takes an element in.
        finish: Stores a result.
    """
    window, lanes = plan.window, plan.lanes
    blocks, rows = -(-plan.channels // lanes), plan.batch * window.output[0]
    by_rows = rows >= plan.tasks

    def body(b: ir.IRBuilder, x: Value, y: Value, task: Value) -> None:
        row_range = share(b, rows, plan.tasks, task) if by_rows else (const(0), const(rows))
        block_range = (const(0), const(blocks)) if by_rows else share(b, blocks, plan.tasks, task)
        by_row = Loop(b, row_range[1], start=row_range[0])
        down, image = b.urem(by_row.index, const(window.output[0])), b.udiv(by_row.index, const(window.output[0]))
        y0, top, bottom = window.bounds(b, 0, down)
        line = b.add(b.mul(image, const(window.size[0])), y0)
        across = Loop(b, const(window.output[1]))
        x0, left, right = window.bounds(b, 1, across.index)
        pixel = b.add(b.mul(line, const(window.size[1])), x0)
        corner = b.add(x, b.mul(pixel, const(plan.x_pitch * plan.x_bytes)))
        place = b.add(b.mul(by_row.index, const(window.output[1])), across.index)
        target = b.add(y, b.mul(place, const(plan.y_pitch * plan.y_bytes)))
        count = b.mul(b.sub(bottom, top), b.sub(right, left))
        block = Loop(b, block_range[1], start=block_range[0])
        channel = minimum(b, b.mul(block.index, const(lanes)), const(plan.channels - lanes))
        base = b.add(corner, b.mul(channel, const(plan.x_bytes)))
        total = _reduced(b, plan, base, (top, bottom, left, right), count, start, reduce)
        finish(b, total, count, b.add(target, b.mul(channel, const(plan.y_bytes))))
        block.end()
        across.end()
        by_row.end()

    return runner(2, body)


def _reduced(
    b: ir.IRBuilder, plan: Slide, base: Value, inside: tuple[Value, ...], count: Value, start: Value, reduce: Reduce
) -> Value:
    """The total of a window: unrolled where all of a small one lies inside, else with loops over what does."""
    window = plan.window
    area = window.kernel[0] * window.kernel[1]
    if area > _UNROLLED:
        return _looped(b, plan, base, inside, start, reduce)
    if not window.reaches_out(0) and not window.reaches_out(1):
        return _unrolled(b, plan, base, start, reduce)
    with b.if_else(b.icmp_signed("==", count, const(area))) as (whole, part):
        with whole:
            first = _unrolled(b, plan, base, start, reduce)
            first_block = b.block
        with part:
            second = _looped(b, plan, base, inside, start, reduce)
            second_block = b.block
    total = b.phi(start.type)
    total.add_incoming(first, first_block)
    total.add_incoming(second, second_block)
    return total


def _strides(plan: Slide) -> tuple[int, int]:
    """Bytes between a window's elements, down and across."""
    across = plan.x_pitch * plan.x_bytes
    return plan.window.dilations[0] * plan.window.size[1] * across, plan.window.dilations[1] * across


def _unrolled(b: ir.IRBuilder, plan: Slide, base: Value, start: Value, reduce: Reduce) -> Value:
    down, across = _strides(plan)
    total = start
    for i in range(plan.window.kernel[0]):
        for j in range(plan.window.kernel[1]):
            address = b.add(base, const(i * down + j * across))
            total = reduce(b, total, load(b, address, vector_of(plan.element, plan.lanes)))
    return total


def _looped(
    b: ir.IRBuilder, plan: Slide, base: Value, inside: tuple[Value, ...], start: Value, reduce: Reduce
) -> Value:
    down, across = (ir.Constant(I64, stride) for stride in _strides(plan))
    top, bottom, left, right = inside
    outer = Loop(b, bottom, [start], start=top)
    row = b.add(base, b.mul(outer.index, down))
    inner = Loop(b, right, outer.values, start=left)
    loaded = load(b, b.add(row, b.mul(inner.index, across)), vector_of(plan.element, plan.lanes))
    return outer.end(inner.end([reduce(b, inner.values[0], loaded)]))[0]
