"""The end of every integer kernel: accumulators become u8 values.

y = clip(rint(f32(accumulator) * multiplier), low - zero_point, high - zero_point) + zero_point, in float32, where rint
rounds half to even, as ONNX's QuantizeLinear does. The value is clamped as a float, so that rounding can be done by
adding 1.5 * 2**23: below 2**22 the sum has no fraction bits left and the processor rounds it to even. This is exact,
takes one addition, and is the same on every processor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir
from numba.core import cgutils

from edgebig.kernels.errors import KernelError
from edgebig.kernels.vector import F32, I8, I32, Value, at, fill, shuffle, splat, store, suffix, vector_of

_ROUND = 12582912.0  # 1.5 * 2**23
_ROUND_BITS = 0x4B400000


@dataclass(frozen=True)
class Requantize:
    """How real values become u8: y = clip(rint(x), low - zero_point, high - zero_point) + zero_point.

    Attributes:
        zero_point: The value that stands for 0.
        low: Smallest value; a fused relu has `low` = zero_point.
        high: Largest value.
    """

    zero_point: int = 0
    low: int = 0
    high: int = 255

    def __post_init__(self) -> None:
        if not (0 <= self.zero_point <= 255 and 0 <= self.low <= self.high <= 255):
            raise KernelError(
                f"{self} is no range of u8 values; give 0 <= low <= high <= 255 and 0 <= zero_point <= 255"
            )


@dataclass(frozen=True)
class Limits:
    """As `Requantize`, by scalars known at run time only.

    Attributes:
        least: low - zero_point, f32.
        most: high - zero_point, f32.
        offset: What is added to the bits of the rounded sum, i32: see `offset_of`.
    """

    least: Value
    most: Value
    offset: Value


def offset_of(zero_point: int) -> int:
    """What makes the bits of a float rounded by adding 1.5 * 2**23 the rounded number plus a zero point."""
    return zero_point - _ROUND_BITS


def requantize(
    b: ir.IRBuilder, accumulators: Sequence[Value], multipliers: Sequence[Value], output: Requantize
) -> Value:
    """Scale int32 accumulators into one u8 vector.

    Args:
        b: The builder.
        accumulators: Vectors of i32 of the same length, neighbouring channels; f32 if the products are floats.
        multipliers: A vector of f32 for each.
        output: The range of the results.

    Returns:
        A vector of i8 with all lanes, in the order given.
    """
    reals = [b.fmul(to_float(b, x), multiplier) for x, multiplier in zip(accumulators, multipliers, strict=True)]
    return quantize(b, reals, output, number=accumulators[0].type.element == I32)


def quantize(b: ir.IRBuilder, reals: Sequence[Value], output: Requantize | Limits, *, number: bool = False) -> Value:
    """Round vectors of f32, already divided by the output's scale, into one u8 vector.

    NaN becomes `low`; `number` says that there is none, which saves instructions.
    """
    return concatenate(b, [round_to_int(b, x, output, number=number) for x in reals], I8)


def round_to_int(b: ir.IRBuilder, real: Value, output: Requantize | Limits, *, number: bool = False) -> Value:
    """Round a vector of f32, already divided by the output's scale: a vector of i32 within low..high."""
    lanes = real.type.count
    if isinstance(output, Limits):
        least, most, offset = (splat(b, value, lanes) for value in (output.least, output.most, output.offset))
        real = clamp_to(b, clamp_to(b, real, ">", least, number=number), "<", most, number=number)
    else:
        real = clamp(b, real, output.low - output.zero_point, output.high - output.zero_point, number=number)
        offset = fill(I32, lanes, offset_of(output.zero_point))
    return b.add(b.bitcast(b.fadd(real, fill(F32, lanes, _ROUND)), vector_of(I32, lanes)), offset)


def clamp(b: ir.IRBuilder, real: Value, low: float, high: float, *, number: bool = False) -> Value:
    """Limit a vector of f32 to low..high; an infinite limit costs nothing.

    NaN becomes `low`. Where there is none (`number`), the limits are said with maxnum and minnum, because LLVM draws a
    following addition into a select, which then costs a comparison and a blend.
    """
    for limit, sign in ((low, ">"), (high, "<")):
        if abs(limit) != float("inf"):
            real = clamp_to(b, real, sign, fill(F32, real.type.count, limit), number=number)
    return real


def clamp_to(b: ir.IRBuilder, real: Value, sign: str, bound: Value, *, number: bool = False) -> Value:
    """A vector of f32 where it is larger (">") or smaller ("<") than a bound, and the bound elsewhere; see `clamp`."""
    if not number:
        return b.select(b.fcmp_ordered(sign, real, bound), real, bound)
    name = "maxnum" if sign == ">" else "minnum"
    kind = ir.FunctionType(real.type, [real.type] * 2)
    function = cgutils.get_or_insert_function(b.module, kind, f"llvm.{name}.{suffix(real.type)}")
    return b.call(function, [real, bound], fastmath=("nnan",))


def to_float(b: ir.IRBuilder, x: Value) -> Value:
    """A vector of i32 or f32 as f32, rounded to nearest."""
    return x if x.type.element == F32 else b.sitofp(x, vector_of(F32, x.type.count))


def concatenate(b: ir.IRBuilder, vectors: Sequence[Value], element: ir.Type) -> Value:
    """Lay vectors of i32 of one length one after the other and cut every lane to `element`."""
    lanes = len(vectors) * vectors[0].type.count
    parts = [*vectors, *[vectors[-1]] * ((1 << (len(vectors) - 1).bit_length()) - len(vectors))]
    while len(parts) > 1:
        length = 2 * parts[0].type.count
        parts = [shuffle(b, x, y, range(length)) for x, y in zip(parts[::2], parts[1::2], strict=True)]
    cut = b.trunc(parts[0], vector_of(element, parts[0].type.count))
    return cut if cut.type.count == lanes else shuffle(b, cut, cut, range(lanes))


def store_part(b: ir.IRBuilder, vector: Value, address: Value, count: int, element_bytes: int = 1) -> None:
    """Store the first `count` lanes of a vector and nothing behind them.

    The lanes go in pieces whose lengths are powers of two, so the cost is at most log2(count) stores.
    """
    if count == vector.type.count and count.bit_count() == 1:
        store(b, vector, address)
        return
    done = 0
    while done < count:
        piece = 1 << ((count - done).bit_length() - 1)
        part = shuffle(b, vector, vector, range(done, done + piece))
        store(b, b.extract_element(part, I32(0)) if piece == 1 else part, at(b, address, done * element_bytes))
        done += piece
