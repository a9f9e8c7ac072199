"""Scales, zero points and roundings of attention, as the operand "numbers" and as scalars of the code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from edgebig.kernels.attention_scores import Rounding
from edgebig.kernels.epilogue import Limits, Requantize, clamp_to, offset_of
from edgebig.kernels.numbers import packed, unpacked
from edgebig.kernels.vector import F32, Value, fill, splat

if TYPE_CHECKING:
    from edgebig.kernels.attention import Attention

_ROUND = 12582912.0  # 1.5 * 2**23: adding it leaves no fraction bits.
_ROUNDINGS = ("product", "scaled", "masked", "probabilities")
_SCALES = ("product_scale", "scale", "value_scale")
_KINDS = "f" * len(_SCALES) + "iii" + "ffff" * len(_ROUNDINGS) + "ffi"


@dataclass(frozen=True)
class Rounded:
    """A `Rounding` by scalars; `scale` is None where it is 1."""

    multiplier: Value
    least: Value
    most: Value
    scale: Value | None

    def emit(self, b: ir.IRBuilder, x: Value) -> Value:
        """Round a vector of f32; NaN becomes the lowest value."""
        lanes = x.type.count
        multiplier, least, most = (splat(b, value, lanes) for value in (self.multiplier, self.least, self.most))
        x = clamp_to(b, clamp_to(b, b.fmul(x, multiplier), ">", least), "<", most)
        big = fill(F32, lanes, _ROUND)
        return scaled(b, b.fsub(b.fadd(x, big), big), self.scale)


@dataclass(frozen=True)
class Scalars:
    """The numbers of an attention step; a scale is None where it is 1, a rounding where there is none."""

    product_scale: Value | None
    scale: Value | None
    value_scale: Value | None
    zero_points: Sequence[Value]
    product: Rounded | None
    scaled: Rounded | None
    masked: Rounded | None
    probabilities: Rounded | None
    output: Limits | None


def scaled(b: ir.IRBuilder, x: Value, factor: Value | None) -> Value:
    """x * factor; None is 1."""
    return x if factor is None else b.fmul(x, splat(b, factor, x.type.count))


def rounded(b: ir.IRBuilder, x: Value, rounding: Rounded | None) -> Value:
    """x, rounded where there is a rounding."""
    return x if rounding is None else rounding.emit(b, x)


def numbers_of(spec: Attention) -> NDArray[np.float32]:
    """The contents of the operand "numbers"."""
    values: list[float | int] = [float(getattr(spec, name)) for name in _SCALES]
    values += [int(point) for point in spec.zero_points]
    for name in _ROUNDINGS:
        r = getattr(spec, name) or Rounding(1.0, 1.0)
        values += [float(r.multiplier), float(r.low - r.zero_point), float(r.high - r.zero_point), float(r.scale)]
    output = spec.output or Requantize()
    values += [float(output.low - output.zero_point), float(output.high - output.zero_point)]
    return packed(*values, offset_of(output.zero_point))


def without_numbers(spec: Attention) -> Attention:
    """The step whose code serves all numbers; scales that are 1 and roundings that are missing stay so."""
    found: dict[str, object] = {name: _any(getattr(spec, name)) for name in _SCALES}
    for name in _ROUNDINGS:
        rounding = getattr(spec, name)
        found[name] = None if rounding is None else Rounding(1.0, _any(rounding.scale))
    output = None if spec.output is None else Requantize()
    return replace(spec, zero_points=(0, 0, 0), output=output, **found)  # type: ignore[arg-type]


def _any(scale: float) -> float:
    return 1.0 if scale == 1 else 2.0


def scalars_of(b: ir.IRBuilder, spec: Attention, address: Value) -> Scalars:
    """Load the numbers."""
    values = unpacked(b, address, _KINDS)
    scales = {name: value if getattr(spec, name) != 1 else None for name, value in zip(_SCALES, values, strict=False)}
    first = len(_SCALES) + len(spec.zero_points)
    roundings: dict[str, Rounded | None] = {}
    for i, name in enumerate(_ROUNDINGS):
        rounding, (multiplier, least, most, scale) = getattr(spec, name), values[first + 4 * i : first + 4 * i + 4]
        used = Rounded(multiplier, least, most, None if rounding is None or rounding.scale == 1 else scale)
        roundings[name] = None if rounding is None else used
    output = None if spec.output is None else Limits(values[-3], values[-2], values[-1])
    return Scalars(**scales, zero_points=values[len(_SCALES) : first], **roundings, output=output)
