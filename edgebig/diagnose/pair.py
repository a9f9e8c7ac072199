"""A tensor that both models have, and where it stands in the quantized one."""

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.diagnose.carriers import Params, is_stored, params_of, represents, scaled_result
from edgebig.diagnose.operators import DEQUANTIZE, QUANTIZE


@dataclass(frozen=True)
class Pair:
    """A tensor of the float graph and its counterpart.

    Attributes:
        original: The float graph's value.
        raw: The counterpart as a float before it is quantized; None where the graph only holds its integers, or where
            quantizing does part of the work (a Relu that became the lower end of the range).
        points: The QuantizeLinear nodes that quantize it.
        stored: The counterpart as stored integers; None where it stays in float.
    """

    original: ir.Value
    raw: ir.Value | None
    points: tuple[ir.Node, ...]
    stored: ir.Value | None

    @property
    def name(self) -> str:
        """The tensor's name in the float graph."""
        return self.original.name or ""

    @property
    def params(self) -> Params | None:
        """Scale and zero point, where it is quantized with fixed ones."""
        return params_of(self.stored) if self.stored is not None else None

    def dequantized(self) -> Iterator[ir.Value]:
        """The float values that stand for it after quantization."""
        stored = [point.outputs[0] for point in self.points]
        if self.raw is None and self.stored is not None and not stored:
            stored = [self.stored]
        for value in stored:
            yield from _dequantized(value)


def pair_of(original: ir.Value, carrier: ir.Value, *, behind: bool, before: bool) -> Pair:
    """The counterpart of a float value.

    Args:
        original: The float graph's value.
        carrier: The value of the quantized graph that first holds it.
        behind: Whether only the value behind the quantization points stands for it.
        before: Whether only the value before them does.
    """
    if is_stored(carrier):
        return Pair(original, None, (), carrier)
    raw = scaled_result(carrier)
    points = () if before else tuple(user for user, _ in raw.uses() if user.op_type == QUANTIZE)
    stored = points[0].outputs[0] if points else None
    return Pair(original, None if behind else raw, points, stored)


def _dequantized(value: ir.Value) -> Iterator[ir.Value]:
    for user, _ in value.uses():
        if user.op_type == DEQUANTIZE and represents(user):
            yield user.outputs[0]
        elif user.op_type == "Identity":
            yield from _dequantized(user.outputs[0])
