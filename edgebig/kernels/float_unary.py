"""Functions of one float tensor, element by element."""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any, ClassVar

from llvmlite import ir

from edgebig.kernels import float_unary_math as fm
from edgebig.kernels.elementwise_loop import check_counts, streamed
from edgebig.kernels.errors import KernelError
from edgebig.kernels.vector import F32, Value, at, load, store, vector_of

Function = Callable[[ir.IRBuilder, Value, float, float], Value]
LANES = 16


def _leaky_relu(b: ir.IRBuilder, x: Value, alpha: float, _beta: float) -> Value:
    return b.select(b.fcmp_ordered("<", x, fm.like(x, 0.0)), b.fmul(x, fm.like(x, alpha)), x)


def _elu(b: ir.IRBuilder, x: Value, alpha: float, _beta: float) -> Value:
    """exp(x) - 1 loses digits near 0; tanh(x / 2) * (exp(x) + 1) is the same and does not."""
    low = fm.at_most(b, x, 0.0)
    half = fm.tanh(b, b.fmul(low, fm.like(x, 0.5)))
    less = b.fmul(half, b.fadd(fm.exp_nonpositive(b, low), fm.like(x, 1.0)))
    return b.select(b.fcmp_ordered("<", x, fm.like(x, 0.0)), b.fmul(less, fm.like(x, alpha)), x)


def _gelu(b: ir.IRBuilder, x: Value) -> Value:
    """x / 2 * (1 + erf(x / sqrt(2)))."""
    half = b.fmul(x, fm.like(x, 0.5))
    return fm.multiply_add(b, half, fm.erf(b, b.fmul(x, fm.like(x, sqrt(0.5)))), half)


def _gelu_tanh(b: ir.IRBuilder, x: Value) -> Value:
    """x / 2 * (1 + tanh(u)) is x * sigmoid(2 * u), which keeps its precision where tanh is near -1."""
    twice = fm.polynomial(b, b.fmul(x, x), (sqrt(8 / pi), sqrt(8 / pi) * 0.044715))
    return b.fmul(x, fm.sigmoid_or_zero(b, b.fmul(x, twice)))


def _hard_sigmoid(b: ir.IRBuilder, x: Value, alpha: float, beta: float) -> Value:
    line = fm.multiply_add(b, x, fm.like(x, alpha), fm.like(x, beta))
    return fm.at_most(b, fm.at_least(b, line, 0.0), 1.0)


def _softplus(b: ir.IRBuilder, x: Value) -> Value:
    small = fm.exp(b, fm.negate(b, fm.absolute(b, x)))
    return b.fadd(fm.at_least(b, x, 0.0), fm.log1p_unit(b, small))


# Functions of x, alpha and beta; the names are ONNX's.
WITH_PARAMETERS: dict[str, Function] = {
    "clip": lambda b, x, low, high: fm.at_most(b, fm.at_least(b, x, low), high),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "hardsigmoid": _hard_sigmoid,
    "silu": lambda b, x, alpha, _: b.fmul(x, fm.sigmoid_or_zero(b, x if alpha == 1 else b.fmul(x, fm.like(x, alpha)))),
}
PLAIN: dict[str, Callable[[ir.IRBuilder, Value], Value]] = {
    "relu": lambda b, x: fm.at_least(b, x, 0.0),
    "sigmoid": fm.sigmoid,
    "tanh": fm.tanh,
    "erf": fm.erf,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "hardswish": lambda b, x: b.fmul(x, _hard_sigmoid(b, x, 1 / 6, 0.5)),
    "softplus": _softplus,
    "exp": fm.exp,
    "log": fm.log,
    "sqrt": fm.square_root,
    "abs": fm.absolute,
    "negate": fm.negate,
    "reciprocal": lambda b, x: b.fdiv(fm.like(x, 1.0), x),
}
WITH_BETA = ("clip", "hardsigmoid")
DEFAULTS: dict[str, tuple[float, float]] = {
    "clip": (-float("inf"), float("inf")),
    "leaky_relu": (0.01, 0.0),
    "elu": (1.0, 0.0),
    "hardsigmoid": (0.2, 0.5),
    "silu": (1.0, 0.0),
}


@dataclass(frozen=True)
class FloatUnary:
    """y = f(x), f32 to f32, in vector code. Relative error at most 2e-6 (of gelu: of x, where x < 0).

    Infinities and NaN give what the formula gives: gelu and silu of -infinity are NaN, as in onnxruntime.

    Attributes:
        kind: The function: one of `PLAIN` or of `WITH_PARAMETERS`.
        size: Elements.
        alpha: The lower limit of clip; the slope below 0 of leaky_relu; the factor of elu; the slope of hardsigmoid;
            the factor within the sigmoid of silu. None is ONNX's default.
        beta: The upper limit of clip; what hardsigmoid gives for 0. None is ONNX's default.

    Raises:
        KernelError: The kind is not known, it has no such parameter, or a count is below 1.
    """

    kind: str
    size: int
    alpha: float | None = None
    beta: float | None = None
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "y")

    def __post_init__(self) -> None:
        check_counts(size=self.size, tasks=self.tasks)
        if self.kind not in PLAIN and self.kind not in WITH_PARAMETERS:
            raise KernelError(f"kind is {self.kind!r}; known are {', '.join([*PLAIN, *WITH_PARAMETERS])}.")
        if self.kind in PLAIN and (self.alpha, self.beta) != (None, None):
            raise KernelError(f"{self.kind} has no parameters; leave alpha and beta out.")
        if self.beta is not None and self.kind not in WITH_BETA:
            raise KernelError(f"{self.kind} has no beta; {' and '.join(WITH_BETA)} have.")

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, y, task)`; y may be x."""

        def emit(b: ir.IRBuilder, addresses: Any, index: Value, lanes: int) -> None:
            x_at, y_at = (b.add(address, b.shl(index, index.type(2))) for address in addresses)
            # Two vectors at a time hide the latency of the polynomials' chains.
            step = min(lanes, LANES)
            for first in range(0, lanes, step):
                x = load(b, at(b, x_at, 4 * first), vector_of(F32, step))
                store(b, self._function(b, x), at(b, y_at, 4 * first))

        return streamed(2, self.size, self.tasks, emit, LANES)

    def _function(self, b: ir.IRBuilder, x: Value) -> Value:
        if self.kind in PLAIN:
            return PLAIN[self.kind](b, x)
        alpha, beta = DEFAULTS[self.kind]
        alpha = alpha if self.alpha is None else self.alpha
        beta = beta if self.beta is None else self.beta
        return WITH_PARAMETERS[self.kind](b, x, alpha, beta)
