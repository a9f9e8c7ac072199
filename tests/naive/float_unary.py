"""Oracles of functions of one number, in Python's own double precision."""

import math
from collections.abc import Callable


def _guarded(function: Callable[[float], float], x: float, overflow: float) -> float:
    try:
        return function(x)
    except OverflowError:
        return overflow


def sigmoid(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    return math.exp(x) / (1 + math.exp(x))


def log(x: float) -> float:
    if x == 0:
        return -math.inf
    return math.log(x) if x > 0 else math.nan


def reciprocal(x: float) -> float:
    return math.copysign(math.inf, x) if x == 0 else 1 / x


def gelu_tanh(x: float) -> float:
    return x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "clip": lambda x: min(max(x, -1.5), 2.25),
    "leaky_relu": lambda x: 0.125 * x if x < 0 else x,
    "elu": lambda x: 1.5 * math.expm1(x) if x < 0 else x,
    "hardsigmoid": lambda x: min(max(0.25 * x + 0.375, 0.0), 1.0),
    "hardswish": lambda x: x * min(max(x / 6 + 0.5, 0.0), 1.0),
    "silu": lambda x: x * sigmoid(1.702 * x),
    "sigmoid": sigmoid,
    "tanh": math.tanh,
    "erf": math.erf,
    "gelu": lambda x: 0.5 * x * math.erfc(-x / math.sqrt(2)),
    "gelu_tanh": gelu_tanh,
    "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
    "exp": lambda x: _guarded(math.exp, x, math.inf),
    "log": log,
    "sqrt": lambda x: math.sqrt(x) if x >= 0 else math.nan,
    "abs": abs,
    "negate": lambda x: -x,
    "reciprocal": reciprocal,
}
PARAMETERS: dict[str, tuple[float, ...]] = {
    "clip": (-1.5, 2.25),
    "leaky_relu": (0.125,),
    "elu": (1.5,),
    "hardsigmoid": (0.25, 0.375),
    "silu": (1.702,),
}


def evaluate(kind: str, x: float) -> float:
    """The function of one number, with the parameters of `PARAMETERS`; NaN gives NaN."""
    return math.nan if math.isnan(x) else FUNCTIONS[kind](x)
