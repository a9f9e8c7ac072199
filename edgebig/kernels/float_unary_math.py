"""Functions of float32 vectors, as vector code: no call leaves the loop, and every lane count works.

Errors are against the exact function, found by dense sweeps over all of its domain. "Near" gives the absolute error
where a result is too small for a relative one: below it, results are flushed to zero or are denormal. NaN gives NaN
everywhere. Constants of exp, log and softplus were fitted with a minimax criterion; those of tanh and erf are the
rational functions of Eigen's `generic_fast_tanh_float` and XLA's `ErfImpl32`.

| function | relative error | near zero |
|---|---|---|
| exp | 2e-7 | 1e-43 |
| exp_nonpositive | 2e-7 | 1.2e-38 |
| log | 2e-7 | |
| log1p_unit | 3e-7 | 1e-44 |
| tanh | 4e-7 | 5e-43 |
| erf | 6e-7 | 5e-43 |
| sigmoid | 3e-7 | 1.2e-38 |
"""

from collections.abc import Sequence

from llvmlite import ir

from edgebig.kernels.vector import F32, I32, Value, call, fill, suffix, vector_of

_LOG2_E = 1.4426950408889634
# ln 2 in two parts: the first has so few bits that its product with a whole number up to 2**9 is exact.
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
# Adding 1.5 * 2**23 rounds to a whole number, which is then in the low bits of the sum.
_ROUND = 12582912.0
# (e**r - 1 - r) / r**2 for |r| <= ln(2) / 2; 3e-9 relative to e**r.
_EXP = (0.4999999403953552, 0.1666652113199234, 0.04166838899254799, 0.00836874544620514, 0.001381453825160861)
# (e**-r - 1 + r) / r**2 for |r| <= ln(2) / 2; 1.1e-7 relative to e**-r.
_EXP_OF_MINUS = (0.49999231, -0.16667115, 0.04189016, -0.00831252)
# (atanh(s) / s - 1) / s**2 as a polynomial of s**2 <= 1 / 9; 1e-10.
_ATANH = (0.3333333730697632, 0.19999437034130096, 0.14308510720729828, 0.10713015496730804, 0.1215379387140274)
_EXP_LOWEST, _EXP_HIGHEST = -104.0, 88.8
_NORMAL_LOWEST = -87.33654
_POWER_HIGHEST = 88.37  # of two: 127.49
_TANH_LIMIT = 9.0
_TANH_ABOVE = (
    4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08, -8.60467152213735e-11,
    2.00018790482477e-13, -2.76076847742355e-16,
)  # fmt: skip
_TANH_BELOW = (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
_ERF_LIMIT = 4.0
_ERF_ABOVE = (
    -1.60960333262415e-02, -2.95459980854025e-03, -7.34990630326855e-04, -5.69250639462346e-05, -2.10102402082508e-06,
    2.77068142495902e-08, -2.72614225801306e-10,
)  # fmt: skip
_ERF_BELOW = (
    -1.42647390514189e-02, -7.37332916720468e-03, -1.68282697438203e-03, -2.13374055278905e-04, -1.45660718464996e-05,
)  # fmt: skip


def like(x: Value, value: float) -> Value:
    """A constant vector as long as x."""
    return fill(F32, x.type.count, value)


def multiply_add(b: ir.IRBuilder, x: Value, y: Value, z: Value) -> Value:
    """x * y + z, rounded once where the processor can."""
    return call(b, f"llvm.fmuladd.{suffix(x.type)}", x.type, [x, y, z])


def polynomial(b: ir.IRBuilder, x: Value, coefficients: Sequence[float]) -> Value:
    """The sum of coefficients[i] * x**i."""
    result = like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = multiply_add(b, result, x, like(x, coefficient))
    return result


def at_least(b: ir.IRBuilder, x: Value, low: float) -> Value:
    """The larger of x and a number; NaN stays."""
    return b.select(b.fcmp_ordered("<", x, like(x, low)), like(x, low), x)


def at_most(b: ir.IRBuilder, x: Value, high: float) -> Value:
    """The smaller of x and a number; NaN stays."""
    return b.select(b.fcmp_ordered(">", x, like(x, high)), like(x, high), x)


def negate(b: ir.IRBuilder, x: Value) -> Value:
    """-x, also of zero."""
    return b.fneg(x)


def absolute(b: ir.IRBuilder, x: Value) -> Value:
    """|x|."""
    return call(b, f"llvm.fabs.{suffix(x.type)}", x.type, [x])


def square_root(b: ir.IRBuilder, x: Value) -> Value:
    """The square root, correctly rounded."""
    return call(b, f"llvm.sqrt.{suffix(x.type)}", x.type, [x])


def exp(b: ir.IRBuilder, x: Value) -> Value:
    """e**x, with denormal results, 0 and infinity."""
    fraction, whole = _split_exp(b, at_most(b, at_least(b, x, _EXP_LOWEST), _EXP_HIGHEST))
    # Two factors, because 2**whole alone is out of range for denormal results and just below the overflow.
    half = b.ashr(whole, fill(I32, x.type.count, 1))
    return b.fmul(b.fmul(fraction, _power_of_two(b, half)), _power_of_two(b, b.sub(whole, half)))


def exp_nonpositive(b: ir.IRBuilder, x: Value) -> Value:
    """e**x for x <= 0; 0 where the result would be denormal."""
    fraction, whole = _split_exp(b, at_least(b, x, _NORMAL_LOWEST))
    shifted = b.shl(whole, fill(I32, x.type.count, 23))
    result = b.bitcast(b.add(b.bitcast(fraction, shifted.type), shifted), x.type)
    return b.select(b.fcmp_ordered("<", x, like(x, _NORMAL_LOWEST)), like(x, 0.0), result)


def _split_exp(b: ir.IRBuilder, x: Value) -> tuple[Value, Value]:
    """e**x as a factor near 1 and the exponent of a power of two; the latter is a vector of i32."""
    sum_ = multiply_add(b, x, like(x, _LOG2_E), like(x, _ROUND))
    whole = b.fsub(sum_, like(x, _ROUND))
    rest = multiply_add(b, whole, like(x, -_LN2_HIGH), x)
    rest = multiply_add(b, whole, like(x, -_LN2_LOW), rest)
    fraction = multiply_add(b, polynomial(b, rest, _EXP), b.fmul(rest, rest), rest)
    ints = vector_of(I32, x.type.count)
    return b.fadd(fraction, like(x, 1.0)), b.sub(b.bitcast(sum_, ints), b.bitcast(like(x, _ROUND), ints))


def _power_of_two(b: ir.IRBuilder, exponent: Value) -> Value:
    lanes = exponent.type.count
    biased = b.add(exponent, fill(I32, lanes, 127))
    return b.bitcast(b.shl(biased, fill(I32, lanes, 23)), vector_of(F32, lanes))


def log(b: ir.IRBuilder, x: Value) -> Value:
    """The natural logarithm; -infinity for 0, NaN below."""
    lanes, ints = x.type.count, vector_of(I32, x.type.count)
    small = b.fcmp_ordered("<", x, like(x, 2.0**-126))
    bits = b.bitcast(b.select(small, b.fmul(x, like(x, 2.0**23)), x), ints)
    # The mantissa lies between sqrt(1 / 2) and sqrt(2), so that logarithms near 0 keep their relative precision.
    exponent = b.ashr(b.sub(bits, fill(I32, lanes, 0x3F3504F3)), fill(I32, lanes, 23))
    mantissa = b.bitcast(b.sub(bits, b.shl(exponent, fill(I32, lanes, 23))), x.type)
    power = b.sitofp(b.sub(exponent, b.select(small, fill(I32, lanes, 23), fill(I32, lanes, 0))), x.type)
    above = b.fsub(mantissa, like(x, 1.0))
    part = _twice_atanh(b, above, b.fadd(mantissa, like(x, 1.0)))
    result = multiply_add(b, power, like(x, _LN2_HIGH), multiply_add(b, power, like(x, _LN2_LOW), part))
    infinite = b.fcmp_ordered("==", x, like(x, float("inf")))
    result = b.select(infinite, x, result)
    result = b.select(b.fcmp_ordered("==", x, like(x, 0.0)), like(x, -float("inf")), result)
    # Unordered: also what is NaN already.
    return b.select(b.fcmp_unordered("<", x, like(x, 0.0)), like(x, float("nan")), result)


def log1p_unit(b: ir.IRBuilder, x: Value) -> Value:
    """log(1 + x) for 0 <= x <= 1."""
    return _twice_atanh(b, x, b.fadd(x, like(x, 2.0)))


def _twice_atanh(b: ir.IRBuilder, above: Value, below: Value) -> Value:
    """2 * atanh(above / below) for a quotient of at most 1 / 3; log(m) is that of (m - 1) / (m + 1)."""
    s = b.fdiv(above, below)
    square = b.fmul(s, s)
    twice = b.fadd(s, s)
    return multiply_add(b, b.fmul(polynomial(b, square, _ATANH), square), twice, twice)


def tanh(b: ir.IRBuilder, x: Value) -> Value:
    """The hyperbolic tangent."""
    return _odd_quotient(b, x, _TANH_LIMIT, _TANH_ABOVE, _TANH_BELOW)


def erf(b: ir.IRBuilder, x: Value) -> Value:
    """The error function."""
    return _odd_quotient(b, x, _ERF_LIMIT, _ERF_ABOVE, _ERF_BELOW)


def _odd_quotient(b: ir.IRBuilder, x: Value, limit: float, above: Sequence[float], below: Sequence[float]) -> Value:
    """x * P(x**2) / Q(x**2) with x clamped to +-limit, and the result to +-1."""
    x = at_most(b, at_least(b, x, -limit), limit)
    square = b.fmul(x, x)
    quotient = b.fdiv(b.fmul(x, polynomial(b, square, above)), polynomial(b, square, below))
    return at_most(b, at_least(b, quotient, -1.0), 1.0)


def sigmoid(b: ir.IRBuilder, x: Value) -> Value:
    """1 / (1 + e**-x), where the power is neither denormal nor infinite.

    The power is taken of -x without ever negating x, because LLVM draws a negation into the limits' comparisons.
    """
    x = at_most(b, at_least(b, x, -_POWER_HIGHEST), -_NORMAL_LOWEST)
    sum_ = multiply_add(b, x, like(x, -_LOG2_E), like(x, _ROUND))
    whole = b.fsub(sum_, like(x, _ROUND))
    rest = multiply_add(b, whole, like(x, _LN2_HIGH), x)
    rest = multiply_add(b, whole, like(x, _LN2_LOW), rest)
    fraction = multiply_add(b, polynomial(b, rest, _EXP_OF_MINUS), b.fmul(rest, rest), b.fsub(like(x, 1.0), rest))
    ints = vector_of(I32, x.type.count)
    power = b.bitcast(b.add(b.bitcast(fraction, ints), b.shl(b.bitcast(sum_, ints), fill(I32, ints.count, 23))), x.type)
    return b.fdiv(like(x, 1.0), b.fadd(power, like(x, 1.0)))


def sigmoid_or_zero(b: ir.IRBuilder, x: Value) -> Value:
    """The sigmoid; 0 where it would be denormal, so that products with large numbers vanish."""
    return b.select(b.fcmp_ordered("<", x, like(x, _NORMAL_LOWEST)), like(x, 0.0), sigmoid(b, x))
