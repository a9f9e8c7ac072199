"""The inner part of a depthwise convolution: a few neighbouring outputs of one block of channels.

Rows of the input that stand above each other are interleaved, so that one dot product takes two or four rows of a
column for a channel each lane. A column is read and interleaved once, and used for every output that it belongs to; an
output is finished and stored as soon as its last column is through, so few accumulators live at a time: those of the
outputs whose windows a column cuts.
"""

from collections.abc import Callable
from dataclasses import dataclass

from llvmlite import ir

from edgebig.kernels.depthwise_plan import VECTORS, Plan
from edgebig.kernels.vector import F32, I8, I16, I32, Loop, Value, at, const, fill, load, shuffle, vector_of, zeros

Finish = Callable[[ir.IRBuilder, list[Value], Value], None]
"""`finish(builder, accumulators, address)` stores one output pixel's block."""


@dataclass(frozen=True)
class Operands:
    """What a strip of tiles works on.

    Attributes:
        x: Address of the strip's first input; `x_row` and `x_pixel` are the bytes between its rows and pixels.
        weights: Address of the block's packed weights.
        bias: Address of the block's biases.
        y: Address of the first output.
        y_row: Bytes between rows of y, `y_pixel` between pixels.
        count: Outputs along the strip.
    """

    x: Value
    x_row: Value
    x_pixel: Value
    weights: Value
    bias: Value
    y: Value
    y_row: int
    y_pixel: int
    count: Value


def emit_strip(b: ir.IRBuilder, plan: Plan, operands: Operands, finish: Finish) -> None:
    """Emit a strip: `plan.rows` rows of outputs, one column after the other.

    A turn of the loop reads the columns that end the window of one output; what they give to the outputs after it is
    carried along.
    """
    extent, stride = plan.window.extent[1], plan.window.strides[1]
    ahead = (extent - 1) // stride
    tops = _row_addresses(b, plan, operands)
    sums = {(r, t): _bias(b, plan, operands.bias) for r in range(plan.rows) for t in range(ahead)}
    for column in range(extent - stride):
        address = [b.add(top, b.mul(operands.x_pixel, const(column))) for top in tops]
        _take_column(b, plan, operands, address, _users(plan, column, ahead - 1), sums)
    carried = [(r, t) for r in range(plan.rows) for t in range(ahead)]
    loop = Loop(b, operands.count, [vector for key in carried for vector in sums[key]])
    sums = {key: loop.values[VECTORS * i : VECTORS * (i + 1)] for i, key in enumerate(carried)}
    sums |= {(r, ahead): _bias(b, plan, operands.bias) for r in range(plan.rows)}
    start = b.mul(b.mul(loop.index, const(stride)), operands.x_pixel)
    for column in range(max(0, extent - stride), extent):
        offset = b.add(start, b.mul(operands.x_pixel, const(column)))
        _take_column(b, plan, operands, [b.add(top, offset) for top in tops], _users(plan, column, ahead), sums)
    y = b.add(operands.y, b.mul(loop.index, const(operands.y_pixel)))
    for r in range(plan.rows):
        finish(b, sums[r, 0], at(b, y, r * operands.y_row))
    loop.end([vector for r, t in carried for vector in sums[r, t + 1]])


def _row_addresses(b: ir.IRBuilder, plan: Plan, operands: Operands) -> list[Value]:
    """Where each row that the strip reads begins."""
    return [b.add(operands.x, b.mul(operands.x_row, const(row))) for row in plan.input_rows(plan.rows)]


def _users(plan: Plan, column: int, ahead: int) -> list[tuple[int, int]]:
    """Which (output, kernel column) pairs a column belongs to; both columns and outputs are counted from an output."""
    stride, dilation = plan.window.strides[1], plan.window.dilations[1]
    return [
        (t, k) for t in range(ahead + 1) for k in range(plan.window.kernel[1]) if t * stride + k * dilation == column
    ]


def _take_column(
    b: ir.IRBuilder,
    plan: Plan,
    operands: Operands,
    places: list[Value],
    users: list[tuple[int, int]],
    sums: dict[tuple[int, int], list[Value]],
) -> None:
    """Add what a column gives to its outputs to their sums; `places` are its elements in each row."""
    uses, per_vector = plan.uses(plan.rows), 4 * plan.dot.lanes
    size = plan.dot.group
    for group in range(len(plan.row_groups(plan.rows))) if users else ():
        elements = _elements(b, plan, places[group * size : (group + 1) * size])
        for (t, k), (use, (r, g)) in ((user, found) for user in users for found in enumerate(uses)):
            if g == group:
                base = at(b, operands.weights, (k * len(uses) + use) * VECTORS * per_vector)
                weights = [load(b, at(b, base, v * per_vector), elements[v].type) for v in range(VECTORS)]
                sums[r, t] = [
                    plan.dot.emit(b, acc, element, weight)
                    for acc, element, weight in zip(sums[r, t], elements, weights, strict=True)
                ]


def _bias(b: ir.IRBuilder, plan: Plan, address: Value) -> list[Value]:
    kind = vector_of(F32 if plan.dot.real else I32, plan.dot.lanes)
    return [load(b, at(b, address, 4 * plan.dot.lanes * v), kind) for v in range(VECTORS)]


def _elements(b: ir.IRBuilder, plan: Plan, places: list[Value]) -> list[Value]:
    """The pixels at some addresses, interleaved: a 32-bit element a channel."""
    lanes = plan.dot.lanes
    if plan.dot.real:
        return [load(b, at(b, places[0], 4 * lanes * v), vector_of(F32, lanes)) for v in range(VECTORS)]
    kind = vector_of(I8, plan.block)
    loaded = [load(b, place, kind) for place in places]
    if plan.dot.signed:
        loaded = [b.xor(vector, fill(I8, plan.block, 128)) for vector in loaded]
    loaded += [zeros(kind)] * (plan.dot.group - len(loaded))
    result = []
    for v in range(VECTORS):
        pairs = [_zipped(b, loaded[i], loaded[i + 1], v * lanes, lanes) for i in range(0, plan.dot.group, 2)]
        if plan.dot.group == 2:
            mixed = b.zext(pairs[0], vector_of(I16, 2 * lanes))
        else:
            words = [b.bitcast(pair, vector_of(I16, lanes)) for pair in pairs]
            mixed = _zipped(b, words[0], words[1], 0, lanes)
        result.append(b.bitcast(mixed, vector_of(I32, lanes)))
    return result


def _zipped(b: ir.IRBuilder, left: Value, right: Value, first: int, count: int) -> Value:
    """`count` lanes of two vectors in turn, from lane `first` on."""
    width = left.type.count
    return shuffle(b, left, right, [lane for i in range(first, first + count) for lane in (i, i + width)])


def emit_looped_strip(b: ir.IRBuilder, plan: Plan, operands: Operands, finish: Finish) -> None:
    """Emit a row of outputs of a large kernel: loops over its elements, in 32-bit arithmetic."""
    window, lanes = plan.window, plan.dot.lanes
    kind = vector_of(F32 if plan.dot.real else I32, lanes)
    loop = Loop(b, operands.count)
    first = b.add(operands.x, b.mul(b.mul(loop.index, const(window.strides[1])), operands.x_pixel))
    down = Loop(b, const(window.kernel[0]), _bias(b, plan, operands.bias))
    row = b.add(first, b.mul(b.mul(down.index, const(window.dilations[0])), operands.x_row))
    across = Loop(b, const(window.kernel[1]), down.values)
    pixel = b.add(row, b.mul(b.mul(across.index, const(window.dilations[1])), operands.x_pixel))
    number = b.add(b.mul(down.index, const(window.kernel[1])), across.index)
    weights = b.add(operands.weights, b.mul(number, const(4 * lanes * VECTORS)))
    sums = []
    for v, acc in enumerate(across.values):
        weight = load(b, at(b, weights, 4 * lanes * v), kind)
        if plan.dot.real:
            sums.append(plan.dot.emit(b, acc, load(b, at(b, pixel, 4 * lanes * v), kind), weight))
        else:
            x = b.zext(load(b, at(b, pixel, lanes * v), vector_of(I8, lanes)), kind)
            sums.append(b.add(acc, b.mul(x, weight)))
    finish(b, down.end(across.end(sums)), b.add(operands.y, b.mul(loop.index, const(operands.y_pixel))))
    loop.end()
