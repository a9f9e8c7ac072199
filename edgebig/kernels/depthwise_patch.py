"""Copying a piece of an image, with its padding, next to each other."""

from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels.depthwise_plan import Plan
from edgebig.kernels.elementwise_loop import powers_of_two
from edgebig.kernels.vector import F32, I8, I64, Loop, Value, at, const, fill, load, maximum, minimum, store, vector_of

_MOST_BYTES = 64


@dataclass(frozen=True)
class Source:
    """Where a patch comes from.

    Attributes:
        image: Address of the image's first pixel, at the patch's first channel.
        row: Image row of the patch's first row; negative or too large where that is padding.
        column: The same for columns.
        pitch: Elements between pixels of the image.
        padding: What stands where the image has nothing.
    """

    image: Value
    row: Value
    column: Value
    pitch: int
    padding: float


def emit_patch(b: ir.IRBuilder, plan: Plan, source: Source, place: Value, first: Value, last: Value) -> None:
    """Emit the copy of a patch's columns `first` to `last` to `place`: [rows, columns, channels]."""
    height, width = plan.window.size
    rows, columns = plan.patch_inputs
    deep, size = plan.patch_outputs[2], plan.element_bytes
    left = _limited(b, b.sub(const(0), source.column), first, last)
    right = _limited(b, b.sub(const(width), source.column), left, last)
    loop = Loop(b, opaque(b, const(rows)))
    line = b.add(source.row, loop.index)
    target = b.add(place, b.mul(loop.index, const(columns * deep * size)))
    pixel = b.add(b.mul(line, const(width)), source.column)
    origin = b.add(source.image, b.mul(pixel, const(source.pitch * size)))
    within = b.and_(b.icmp_signed(">=", line, const(0)), b.icmp_signed("<", line, const(height)))
    start, stop = b.select(within, left, last), b.select(within, right, last)
    for begin, end, copied in ((first, start, False), (start, stop, True), (stop, last, False)):
        column = Loop(b, end, start=begin)
        read = b.add(origin, b.mul(column.index, const(source.pitch * size))) if copied else None
        _pixel(b, plan, read, b.add(target, b.mul(column.index, const(deep * size))), source.padding)
        column.end()
    loop.end()


def opaque(b: ir.IRBuilder, x: Value) -> Value:
    """The same number, but LLVM does not see that: loops over a constant would be unrolled without any gain."""
    kind = ir.FunctionType(I64, [I64])
    return b.asm(kind, "", "=r,0", [x], side_effect=False)


def _limited(b: ir.IRBuilder, x: Value, least: Value, most: Value) -> Value:
    return minimum(b, maximum(b, x, least), most)


def _pixel(b: ir.IRBuilder, plan: Plan, source: Value | None, target: Value, padding: float) -> None:
    """Copy a pixel's channels, or fill them."""
    element, size = (F32, 4) if plan.dot.real else (I8, 1)
    channels, full = min(plan.patch_outputs[2], plan.channels), _MOST_BYTES // size
    done = 0
    for lanes in [full] * (channels // full) + powers_of_two(channels % full):
        kind = vector_of(element, lanes)
        value = fill(element, lanes, padding) if source is None else load(b, at(b, source, done * size), kind)
        store(b, value, at(b, target, done * size))
        done += lanes
