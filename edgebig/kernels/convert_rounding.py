"""Vectors of bytes to vectors of floats and back, with ONNX's rounding: half to even, then clamped."""

from llvmlite import ir

from edgebig.kernels.vector import F32, I8, I32, Value, call, fill, maximum, minimum, splat, suffix, vector_of, zeros


def to_float(b: ir.IRBuilder, x: Value, *, signed: bool = False) -> Value:
    """Bytes as floats. Signed bytes are read as two's complement."""
    kind = vector_of(I32, x.type.count)
    wide = b.sext(x, kind) if signed else b.zext(x, kind)
    return b.sitofp(wide, vector_of(F32, x.type.count))


def centred(b: ir.IRBuilder, x: Value, zero_point: Value) -> Value:
    """Bytes minus a zero point, an i32 known at run time, as floats; exact."""
    lanes = x.type.count
    return b.sitofp(b.sub(b.zext(x, vector_of(I32, lanes)), splat(b, zero_point, lanes)), vector_of(F32, lanes))


def below(b: ir.IRBuilder, x: Value, limit: Value) -> Value:
    """The smaller of two floats, lane by lane; `limit` where x is not a number."""
    return b.select(b.fcmp_ordered("<", x, limit), x, limit)


def above(b: ir.IRBuilder, x: Value, limit: Value) -> Value:
    """The larger of two floats, lane by lane; `limit` where x is not a number."""
    return b.select(b.fcmp_ordered(">", x, limit), x, limit)


def to_bytes(
    b: ir.IRBuilder, x: Value, zero_point: int = 0, low: int = 0, high: int = 255, *, bounded: bool = False
) -> Value:
    """clip(rint(x) + zero_point, low, high) as bytes; what is not a number becomes `low`.

    Args:
        b: The builder.
        x: A vector of floats.
        zero_point: Added after rounding.
        low: The least result, at least 0.
        high: The greatest, at most 255.
        bounded: All of x is known to lie within the range of int32, so it need not be clamped before it is converted.
    """
    lanes = x.type.count
    if not bounded:
        x = below(b, above(b, x, fill(F32, lanes, low - zero_point)), fill(F32, lanes, high - zero_point))
    ints = vector_of(I32, lanes)
    whole = call(b, f"llvm.lrint.{suffix(ints)}.{suffix(x.type)}", ints, [x])
    if zero_point:
        whole = b.add(whole, fill(I32, lanes, zero_point))
    result = narrowed(b, whole)
    if bounded and low > 0:
        result = maximum(b, result, fill(I8, lanes, low), signed=False)
    if bounded and high < 255:
        result = minimum(b, result, fill(I8, lanes, high), signed=False)
    return result


def to_bytes_within(b: ir.IRBuilder, x: Value, least: Value, most: Value, zero_point: Value) -> Value:
    """clip(rint(x), least, most) + zero_point as bytes, by vectors known at run time; not a number becomes least."""
    ints = zero_point.type
    x = below(b, above(b, x, least), most)
    return narrowed(b, b.add(call(b, f"llvm.lrint.{suffix(ints)}.{suffix(x.type)}", ints, [x]), zero_point))


def narrowed(b: ir.IRBuilder, whole: Value) -> Value:
    """A vector of i32 clamped to bytes."""
    ints, lanes = whole.type, whole.type.count
    # The clamp and the truncation become saturating packs; narrower limits cost one instruction on bytes.
    whole = minimum(b, maximum(b, whole, zeros(ints)), fill(I32, lanes, 255))
    return b.trunc(whole, vector_of(I8, lanes))
