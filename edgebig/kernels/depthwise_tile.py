"""The inner part of a depthwise convolution: a few neighbouring outputs of one block of channels.

Rows of the input that stand above each other are interleaved, so that one dot product takes two or four rows of a
column for a channel each lane. A column is read and interleaved once, and used for every output that it belongs to; an
output is finished and stored as soon as its last column is through, so few accumulators live at a time.
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
    """Addresses: of the tile's first input, of the block's weights and bias, and of the first output."""

    x: Value
    weights: Value
    bias: Value
    y: Value


def emit_tile(b: ir.IRBuilder, plan: Plan, operands: Operands, y_row: int, y_pixel: int, finish: Finish) -> None:
    """Emit a tile; `y_row` and `y_pixel` are the bytes between its outputs."""
    window, groups, uses = plan.window, plan.row_groups(plan.rows), plan.uses(plan.rows)
    per_vector = 4 * plan.dot.lanes
    sums: dict[tuple[int, int], list[Value]] = {}
    for column in range((plan.across - 1) * window.strides[1] + window.extent[1]):
        users = _users(plan, column)
        for group in range(len(groups)) if users else ():
            elements = _elements(b, plan, operands.x, column, groups[group])
            for (t, k), (use, (r, g)) in ((a, c) for a in users for c in enumerate(uses)):
                if g != group:
                    continue
                acc = sums.get((r, t)) or _bias(b, plan, operands.bias)
                base = (k * len(uses) + use) * VECTORS * per_vector
                weights = [
                    load(b, at(b, operands.weights, base + v * per_vector), elements[v].type) for v in range(VECTORS)
                ]
                sums[r, t] = [plan.dot.emit(b, acc[v], elements[v], weights[v]) for v in range(VECTORS)]
        for t in [t for t, k in users if k == window.kernel[1] - 1]:
            for r in range(plan.rows):
                finish(b, sums.pop((r, t)), at(b, operands.y, r * y_row + t * y_pixel))


def _users(plan: Plan, column: int) -> list[tuple[int, int]]:
    """Which (output column, kernel column) pairs an input column belongs to."""
    window = plan.window
    return [
        (t, k)
        for t in range(plan.across)
        for k in range(window.kernel[1])
        if t * window.strides[1] + k * window.dilations[1] == column
    ]


def _bias(b: ir.IRBuilder, plan: Plan, address: Value) -> list[Value]:
    kind = vector_of(F32 if plan.dot.real else I32, plan.dot.lanes)
    return [load(b, at(b, address, 4 * plan.dot.lanes * v), kind) for v in range(VECTORS)]


def _elements(b: ir.IRBuilder, plan: Plan, x: Value, column: int, rows: list[int]) -> list[Value]:
    """A column's elements of some rows, interleaved: a 32-bit element a channel."""
    deep, lanes = plan.patch_outputs[2], plan.dot.lanes
    places = [at(b, x, (row * plan.patch_inputs[1] + column) * deep * plan.element_bytes) for row in rows]
    if plan.dot.real:
        return [load(b, at(b, places[0], 4 * lanes * v), vector_of(F32, lanes)) for v in range(VECTORS)]
    kind = vector_of(I8, plan.block)
    loaded = [load(b, place, kind) for place in places]
    if plan.dot.signed:
        loaded = [b.xor(vector, fill(I8, plan.block, 128)) for vector in loaded]
    loaded += [zeros(kind)] * (plan.dot.group - len(loaded))
    result = []
    for v in range(VECTORS):
        pairs = [_zipped(b, *loaded[i : i + 2], v * lanes, lanes) for i in range(0, plan.dot.group, 2)]
        if plan.dot.group == 2:
            mixed = b.zext(pairs[0], vector_of(I16, 2 * lanes))
        else:
            words = [b.bitcast(pair, vector_of(I16, lanes)) for pair in pairs]
            mixed = _zipped(b, *words, 0, lanes)
        result.append(b.bitcast(mixed, vector_of(I32, lanes)))
    return result


def _zipped(b: ir.IRBuilder, left: Value, right: Value, first: int, count: int) -> Value:
    """`count` lanes of two vectors in turn, from lane `first` on."""
    width = left.type.count
    return shuffle(b, left, right, [lane for i in range(first, first + count) for lane in (i, i + width)])


def emit_looped(b: ir.IRBuilder, plan: Plan, operands: Operands, finish: Finish) -> None:
    """Emit one output of a large kernel: loops over its elements, in 32-bit arithmetic."""
    window, lanes = plan.window, plan.dot.lanes
    deep, size = plan.patch_outputs[2], plan.element_bytes
    kind = vector_of(F32 if plan.dot.real else I32, lanes)
    down = Loop(b, const(window.kernel[0]), _bias(b, plan, operands.bias))
    row = b.add(operands.x, b.mul(down.index, const(window.dilations[0] * plan.patch_inputs[1] * deep * size)))
    across = Loop(b, const(window.kernel[1]), down.values)
    pixel = b.add(row, b.mul(across.index, const(window.dilations[1] * deep * size)))
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
    finish(b, down.end(across.end(sums)), operands.y)
