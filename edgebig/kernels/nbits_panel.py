"""Activations made ready for MatMulNBits: rows of float32, block by block, into a panel on the stack.

For integer arithmetic each block is quantized to int8 by its largest magnitude, as onnxruntime does at accuracy level
4: scale = amax / 127, q = rint(x * (127 / amax)). For float arithmetic the panel holds x scaled by powers of two that
undo the position of a weight's bits in its word, which saves the shift.
"""

from llvmlite import ir

from edgebig.kernels.vector import (
    F32,
    I8,
    I16,
    I32,
    Value,
    at,
    call,
    fill,
    load,
    shuffle,
    splat,
    store,
    suffix,
    vector_of,
    zeros,
)

# Blocks whose largest magnitude is below this count as zero, so that 127 / amax cannot overflow.
SMALLEST = 2.0**-100
_WIDTH = 8


def quantize_block(b: ir.IRBuilder, x: Value, record: Value, *, block_size: int, chunk: int, zero_point: int) -> None:
    """Quantize one block of f32 into a record: block_size s8, then the scale as f32, then correction words.

    Args:
        b: The builder.
        x: Address of block_size f32.
        record: Where the record goes.
        block_size: Inputs, a multiple of 8.
        chunk: Inputs per 16-bit partial sum, each with a correction word of its own: for the lower and the upper
            16 bits of the word minus zero_point times the activations that meet in that 16-bit lane. 0: one 32-bit
            word, minus zero_point times their sum.
        zero_point: The common zero point of the weights.
    """
    wide, count = vector_of(F32, _WIDTH), block_size // _WIDTH
    values = [load(b, at(b, x, 32 * i), wide) for i in range(count)]
    largest = _largest(b, values)
    some = b.fcmp_ordered(">", largest, ir.Constant(F32, SMALLEST))
    inverse = b.select(some, b.fdiv(ir.Constant(F32, 127.0), largest), ir.Constant(F32, 0.0))
    scale = b.select(some, b.fdiv(largest, ir.Constant(F32, 127.0)), ir.Constant(F32, 0.0))
    factor = splat(b, inverse, _WIDTH)
    whole = []
    for i, value in enumerate(values):
        rounded = call(b, f"llvm.rint.{suffix(wide)}", wide, [b.fmul(value, factor)])
        whole.append(b.fptosi(rounded, vector_of(I32, _WIDTH)))
        store(b, b.trunc(whole[-1], vector_of(I8, _WIDTH)), at(b, record, _WIDTH * i))
    store(b, scale, at(b, record, block_size))
    for index, part in enumerate(range(0, block_size, chunk or block_size)):
        total = zeros(whole[0].type)
        for value in whole[part // _WIDTH : (part + (chunk or block_size)) // _WIDTH]:
            total = b.add(total, value)
        total = b.mul(total, fill(I32, _WIDTH, -zero_point))
        store(b, _by_lane(b, total) if chunk else _sum(b, total, I32), at(b, record, block_size + 4 + 4 * index))


def scale_block(b: ir.IRBuilder, x: Value, record: Value, *, block_size: int, bits: int, zero_point: int) -> None:
    """Put one block of f32 into a record: block_size f32, scaled; then minus zero_point times their sum.

    A weight in the k-th field of its 32-bit word is 2**(bits * k) times too large, except in the last field.
    """
    wide, fields = vector_of(F32, _WIDTH), 32 // bits
    factors = [1.0 if k % fields == fields - 1 else 2.0 ** -(bits * (k % fields)) for k in range(_WIDTH)]
    total = zeros(wide)
    for i in range(block_size // _WIDTH):
        value = load(b, at(b, x, 32 * i), wide)
        total = b.fadd(total, value)
        store(b, b.fmul(value, ir.Constant(wide, factors)), at(b, record, 32 * i))
    store(b, b.fmul(_sum(b, total, F32), ir.Constant(F32, float(-zero_point))), at(b, record, 4 * block_size))


def _largest(b: ir.IRBuilder, values: list[Value]) -> Value:
    """The largest magnitude."""
    wide = values[0].type
    best = zeros(wide)
    for value in values:
        size = call(b, f"llvm.fabs.{suffix(wide)}", wide, [value])
        best = b.select(b.fcmp_ordered(">", size, best), size, best)
    for half in (4, 2, 1):
        other = shuffle(b, best, best, [*range(half, 2 * half), *range(half, 2 * half)][:half])
        best = shuffle(b, best, best, range(half))
        best = b.select(b.fcmp_ordered(">", other, best), other, best)
    return b.extract_element(best, I32(0))


def _sum(b: ir.IRBuilder, value: Value, element: ir.Type) -> Value:
    """The sum of eight lanes."""
    add = b.fadd if element is F32 else b.add
    for half in (4, 2, 1):
        value = add(shuffle(b, value, value, range(half)), shuffle(b, value, value, range(half, 2 * half)))
    return b.extract_element(value, I32(0))


def _by_lane(b: ir.IRBuilder, value: Value) -> Value:
    """Sums of the lanes 0, 1, 4, 5 and 2, 3, 6, 7 as the lower and upper half of a word."""
    pairs = b.add(shuffle(b, value, value, [0, 2, 4, 6]), shuffle(b, value, value, [1, 3, 5, 7]))
    both = b.add(shuffle(b, pairs, pairs, [0, 1]), shuffle(b, pairs, pairs, [2, 3]))
    return b.bitcast(b.trunc(both, vector_of(I16, 2)), I32)
