"""Copying a piece of an image, with its padding, next to each other."""

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels.depthwise_plan import Plan
from edgebig.kernels.elementwise_loop import powers_of_two
from edgebig.kernels.vector import F32, I8, I64, Loop, Value, at, const, fill, load, store, vector_of

_MOST_BYTES = 64


@dataclass(frozen=True)
class Source:
    """Where a patch comes from.

    Attributes:
        image: Address of the image's first pixel, at the patch's first channel.
        row: Image row of the patch's first row; negative or too large where that is padding.
        column: The same for columns.
        pitch: Elements between pixels of the image.
    """

    image: Value
    row: Value
    column: Value
    pitch: int


def emit_blank(b: ir.IRBuilder, plan: Plan, place: Value, padding: float) -> None:
    """Emit a pixel of padding behind the patch; `emit_patch` copies it where the image has nothing."""
    element, lanes = F32 if plan.dot.real else I8, plan.block
    for channel in range(0, plan.patch_outputs[2], lanes):
        store(b, fill(element, lanes, padding), at(b, place, plan.patch_bytes + channel * plan.element_bytes))


def emit_patch(
    b: ir.IRBuilder, plan: Plan, source: Source, place: Value, ranges: Sequence[tuple[Value, Value]]
) -> None:
    """Emit the copy of some ranges of a patch's columns to `place`: [rows, columns, channels]."""
    height, width = plan.window.size
    rows, columns = plan.patch_inputs
    pixel, pitch = plan.patch_outputs[2] * plan.element_bytes, const(source.pitch * plan.element_bytes)
    part = Loop(b, const(len(ranges)))
    first, last = ranges[0]
    for number, (start, stop) in enumerate(ranges[1:], 1):
        here = b.icmp_signed("==", part.index, const(number))
        first, last = b.select(here, start, first), b.select(here, stop, last)
    row = Loop(b, opaque(b, const(rows)))
    line = b.add(source.row, row.index)
    below = b.icmp_unsigned("<", line, const(height))  # negative numbers are large ones
    origin = b.add(source.image, b.mul(b.add(b.mul(line, const(width)), source.column), pitch))
    target = b.add(place, b.mul(row.index, const(columns * pixel)))
    column = Loop(b, last, start=first)
    inside = b.and_(below, b.icmp_unsigned("<", b.add(source.column, column.index), const(width)))
    read = b.select(inside, b.add(origin, b.mul(column.index, pitch)), at(b, place, plan.patch_bytes))
    _copy_pixel(b, plan, read, b.add(target, b.mul(column.index, const(pixel))))
    column.end()
    row.end()
    part.end()


def opaque(b: ir.IRBuilder, x: Value) -> Value:
    """The same number, but LLVM does not see that: loops over a constant would be unrolled without any gain."""
    kind = ir.FunctionType(I64, [I64])
    return b.asm(kind, "", "=r,0", [x], side_effect=False)


def _copy_pixel(b: ir.IRBuilder, plan: Plan, source: Value, target: Value) -> None:
    element, size = (F32, 4) if plan.dot.real else (I8, 1)
    channels, full = min(plan.patch_outputs[2], plan.channels), _MOST_BYTES // size
    done = 0
    for lanes in [full] * (channels // full) + powers_of_two(channels % full):
        store(b, load(b, at(b, source, done * size), vector_of(element, lanes)), at(b, target, done * size))
        done += lanes
