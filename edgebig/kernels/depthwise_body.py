"""A whole depthwise convolution: patches shared among tasks, and the strips of each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from llvmlite import ir
from numba import njit

from edgebig.kernels.convert_rounding import to_bytes
from edgebig.kernels.depthwise_patch import Source, emit_blank
from edgebig.kernels.depthwise_plan import VECTORS, Plan
from edgebig.kernels.depthwise_strips import Strips, emit_strips
from edgebig.kernels.depthwise_tile import Operands, emit_looped_strip, emit_strip
from edgebig.kernels.elementwise_loop import share
from edgebig.kernels.epilogue import Requantize, clamp, store_part
from edgebig.kernels.vector import (
    F32,
    Loop,
    Value,
    at,
    const,
    intrinsic_of,
    load,
    minimum,
    scratch,
    shuffle,
    vector_of,
)


@dataclass(frozen=True)
class Layout:
    """What a depthwise convolution reads and writes, beside its plan.

    Attributes:
        output: Bytes with this range, or floats.
        limits: Least and greatest float.
        scaled: Whether accumulators are multiplied by the multiplier operand.
        padding: What stands beside the image.
        x_pitch: Elements between pixels of x; y_pitch of y.
        weight_bytes: Packed weights of a block.
    """

    output: Requantize | Literal["f32"]
    limits: tuple[float, float]
    scaled: bool
    padding: float
    x_pitch: int
    y_pitch: int
    weight_bytes: int

    @property
    def y_bytes(self) -> int:
        """Bytes between pixels of y."""
        return self.y_pitch * self.y_size

    @property
    def y_size(self) -> int:
        """Bytes of an element of y."""
        return 4 if self.output == "f32" else 1


def depthwise_run(plan: Plan, layout: Layout) -> Callable[..., Any]:
    """Build the jitted `run(x, weights, bias, multiplier, y, task)`."""

    def body(b: ir.IRBuilder, *values: Value) -> None:
        x, weights, bias, multiplier, y, place, task = values
        down, across, deep = plan.patches
        first, last = share(b, plan.batch * down * across * deep, plan.tasks, task)
        emit_blank(b, plan, place, layout.padding)
        item = Loop(b, last, start=first)
        rest, chunk = _split(b, item.index, deep)
        rest, j = _split(b, rest, across)
        image, i = _split(b, rest, down)
        starts = [_start(b, number, plan, axis) for axis, number in enumerate((i, j, chunk))]
        source = _source(b, plan, layout, x, image, starts)
        strips = emit_strips(b, plan, source, place)
        target = b.add(y, _output_offset(b, plan, layout, image, starts))
        _emit_blocks(b, plan, layout, strips, (weights, bias, multiplier), chunk, target)
        item.end()

    kernel, memory = intrinsic_of(7, body), scratch(plan.patch_bytes + plan.patch_outputs[2] * plan.element_bytes)

    @njit
    def run(x, weights, bias, multiplier, y, task):  # type: ignore[no-untyped-def]
        kernel(x, weights, bias, multiplier, y, memory(), task)

    return run


def _split(b: ir.IRBuilder, number: Value, size: int) -> tuple[Value, Value]:
    return b.udiv(number, const(size)), b.urem(number, const(size))


def _start(b: ir.IRBuilder, number: Value, plan: Plan, axis: int) -> Value:
    """The first output row, column or channel of a patch; the last patch ends with the output."""
    size, whole = plan.patch_outputs[axis], (*plan.window.output, plan.channels)[axis]
    return minimum(b, b.mul(number, const(size)), const(max(0, whole - size)))


def _source(b: ir.IRBuilder, plan: Plan, layout: Layout, x: Value, image: Value, starts: list[Value]) -> Source:
    """The part of the input that belongs to outputs from `starts` on."""
    window = plan.window
    row, column = (b.sub(b.mul(starts[axis], const(window.strides[axis])), const(window.pads[axis])) for axis in (0, 1))
    elements = b.add(b.mul(image, const(window.size[0] * window.size[1] * layout.x_pitch)), starts[2])
    place = b.add(x, b.mul(elements, const(plan.element_bytes)))
    return Source(place, row, column, layout.x_pitch)


def _output_offset(b: ir.IRBuilder, plan: Plan, layout: Layout, image: Value, starts: list[Value]) -> Value:
    row = b.add(b.mul(image, const(plan.window.output[0])), starts[0])
    pixel = b.add(b.mul(row, const(plan.window.output[1])), starts[1])
    return b.add(b.mul(pixel, const(layout.y_bytes)), b.mul(starts[2], const(layout.y_size)))


def _emit_blocks(
    b: ir.IRBuilder, plan: Plan, layout: Layout, strips: Strips, constants: tuple[Value, ...], chunk: Value, y: Value
) -> None:
    """Emit the strips of a patch, block after block."""
    down, _, deep = plan.patch_outputs
    y_row = plan.window.output[1] * layout.y_bytes
    block = Loop(b, const(deep // plan.block))
    number = b.add(b.mul(chunk, const(deep // plan.block)), block.index)
    weights = b.add(constants[0], b.mul(number, const(layout.weight_bytes)))
    bias, multiplier = (b.add(base, b.mul(number, const(4 * plan.block))) for base in constants[1:])
    row = Loop(b, const(-(-down // plan.rows)))
    i = minimum(b, b.mul(row.index, const(plan.rows)), const(down - plan.rows))
    strip = Loop(b, const(strips.number))
    found = strips.pick(b, strip.index)
    outputs = b.add(b.mul(i, const(y_row)), b.mul(found.start, const(layout.y_bytes)))
    inputs = b.add(b.mul(b.mul(i, const(plan.window.strides[0])), found.x_row),
                   b.mul(b.mul(found.start, const(plan.window.strides[1])), found.x_pixel))  # fmt: skip

    def finish(b: ir.IRBuilder, sums: list[Value], address: Value) -> None:
        _finish(b, plan, layout, sums, multiplier, address)

    operands = Operands(
        b.add(b.add(found.x, inputs), b.mul(block.index, const(plan.block * plan.element_bytes))),
        found.x_row, found.x_pixel, weights, bias,
        b.add(b.add(y, outputs), b.mul(block.index, const(plan.block * layout.y_size))),
        y_row, layout.y_bytes, found.count,
    )  # fmt: skip
    with b.if_then(b.icmp_signed(">", found.count, const(0))):
        (emit_strip if plan.unrolled else emit_looped_strip)(b, plan, operands, finish)
    strip.end()
    row.end()
    block.end()


def _finish(b: ir.IRBuilder, plan: Plan, layout: Layout, sums: list[Value], multiplier: Value, address: Value) -> None:
    """Scale accumulators of a block, round them if bytes are wanted, and store them."""
    lanes = plan.dot.lanes
    kind = vector_of(F32, lanes)
    reals = sums if plan.dot.real else [b.sitofp(acc, kind) for acc in sums]
    if layout.scaled:
        reals = [b.fmul(real, load(b, at(b, multiplier, 4 * lanes * v), kind)) for v, real in enumerate(reals)]
    block = shuffle(b, reals[0], reals[1], range(VECTORS * lanes))
    if isinstance(layout.output, Requantize):
        block = to_bytes(b, block, layout.output.zero_point, layout.output.low, layout.output.high)
    else:
        block = clamp(b, block, *(float(np.float32(limit)) for limit in layout.limits))
    store_part(b, block, address, min(plan.block, plan.channels), layout.y_size)
