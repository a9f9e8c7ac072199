"""Copying a piece of an image, with its padding, next to each other."""

from llvmlite import ir

from edgebig.kernels.depthwise_plan import Plan
from edgebig.kernels.elementwise_loop import powers_of_two
from edgebig.kernels.vector import F32, I8, I64, Loop, Value, at, const, fill, load, maximum, minimum, store, vector_of

_MOST_BYTES = 64


def emit_patch(
    b: ir.IRBuilder, plan: Plan, image: Value, row: Value, column: Value, place: Value, pitch: int, padding: float
) -> None:
    """Emit the copy of one patch.

    Args:
        b: The builder.
        plan: The cut.
        image: Address of the image's first pixel, at the patch's first channel.
        row: Image row of the patch's first row; negative or too large where that is padding. `column` likewise.
        column: The same for columns.
        place: Where the patch goes: [rows, columns, channels].
        pitch: Elements between pixels of the image.
        padding: What stands where the image has nothing.
    """
    height, width = plan.window.size
    rows, columns = plan.patch_inputs
    deep, size = plan.patch_outputs[2], plan.element_bytes
    inside = min(deep, plan.channels)
    column = opaque(b, column)
    left = _clamped(b, b.sub(const(0), column), columns)
    right = maximum(b, _clamped(b, b.sub(const(width), column), columns), left)
    loop = Loop(b, opaque(b, const(rows)))
    line = b.add(row, loop.index)
    target = b.add(place, b.mul(loop.index, const(columns * deep * size)))
    source = b.add(image, b.mul(b.add(b.mul(line, const(width)), column), const(pitch * size)))
    within = b.and_(b.icmp_signed(">=", line, const(0)), b.icmp_signed("<", line, const(height)))
    first, last = b.select(within, left, const(columns)), b.select(within, right, const(columns))
    for start, stop, copied in ((const(0), first, False), (first, last, True), (last, const(columns), False)):
        pixel = Loop(b, stop, start=start)
        to = b.add(target, b.mul(pixel.index, const(deep * size)))
        origin = b.add(source, b.mul(pixel.index, const(pitch * size))) if copied else None
        _pixel(b, plan, origin, to, inside, padding)
        pixel.end()
    loop.end()


def opaque(b: ir.IRBuilder, x: Value) -> Value:
    """The same number, but LLVM does not see that: loops over a constant would be unrolled without any gain."""
    kind = ir.FunctionType(I64, [I64])
    return b.asm(kind, "", "=r,0", [x], side_effect=False)


def _clamped(b: ir.IRBuilder, x: Value, most: int) -> Value:
    return minimum(b, maximum(b, x, const(0)), const(most))


def _pixel(b: ir.IRBuilder, plan: Plan, source: Value | None, target: Value, channels: int, padding: float) -> None:
    """Copy a pixel's channels, or fill them."""
    element, size = (F32, 4) if plan.dot.real else (I8, 1)
    full = _MOST_BYTES // size
    done = 0
    for lanes in [full] * (channels // full) + powers_of_two(channels % full):
        kind = vector_of(element, lanes)
        value = fill(element, lanes, padding) if source is None else load(b, at(b, source, done * size), kind)
        store(b, value, at(b, target, done * size))
        done += lanes
