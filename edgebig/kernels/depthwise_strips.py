"""Where the strips of a patch read: from a copy of the input with its padding, or from the input itself."""

from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels.depthwise_patch import Source, emit_patch, opaque
from edgebig.kernels.depthwise_plan import Plan
from edgebig.kernels.vector import Value, const


@dataclass(frozen=True)
class Strip:
    """Neighbouring outputs of a row.

    Attributes:
        x: Address of what the patch's first output would read; `x_row` and `x_pixel` are the bytes between rows and
            pixels there.
        start: The first output.
        count: How many.
    """

    x: Value
    x_row: Value
    x_pixel: Value
    start: Value
    count: Value


@dataclass(frozen=True)
class Strips:
    """All strips of a row."""

    parts: tuple[Strip, ...]

    @property
    def number(self) -> int:
        """How many."""
        return len(self.parts)

    def pick(self, b: ir.IRBuilder, index: Value) -> Strip:
        """One of them."""
        found = self.parts[0]
        for number, part in enumerate(self.parts[1:], 1):
            here = b.icmp_signed("==", index, const(number))
            names = ("x", "x_row", "x_pixel", "start", "count")
            found = Strip(*(b.select(here, getattr(part, name), getattr(found, name)) for name in names))
        return found


def emit_strips(b: ir.IRBuilder, plan: Plan, source: Source, place: Value) -> Strips:
    """Emit the copies that a patch needs, and say where its strips read.

    A patch that has rows of padding is copied whole. Of another, if the plan says so, only the columns at the image's
    edges are.
    """
    rows, columns = plan.patch_inputs
    across, deep = plan.patch_outputs[1:]
    pixel = deep * plan.element_bytes
    copy = (place, const(columns * pixel), const(pixel))
    whole = opaque(b, const(across))
    if not plan.direct:
        emit_patch(b, plan, source, place, [(opaque(b, const(0)), opaque(b, const(columns)))])
        return Strips((Strip(*copy, const(0), whole),))
    inside = b.and_(
        b.icmp_signed(">=", source.row, const(0)), b.icmp_signed("<=", source.row, const(plan.window.size[0] - rows))
    )
    left = b.select(inside, const(plan.edges[0]), whole)
    right = b.select(inside, const(plan.edges[1]), const(0))
    last = b.sub(whole, right)
    stride, extent = plan.window.strides[1], plan.window.extent[1]
    read = b.add(b.mul(b.sub(left, const(1)), const(stride)), const(extent))
    stop = b.select(b.icmp_signed(">", left, const(0)), read, const(0))
    start = b.select(b.icmp_signed(">", right, const(0)), b.mul(last, const(stride)), const(columns))
    emit_patch(b, plan, source, place, [(const(0), stop), (start, const(columns))])
    pitch = source.pitch * plan.element_bytes
    width = const(plan.window.size[1])
    corner = b.add(b.mul(source.row, width), source.column)
    image = b.add(source.image, b.mul(corner, const(pitch)))
    inner = Strip(image, const(plan.window.size[1] * pitch), const(pitch), left, b.sub(last, left))
    return Strips((Strip(*copy, const(0), left), inner, Strip(*copy, last, right)))
