"""A tile of integer products whose scale and zero point are known at run time only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llvmlite import ir

from edgebig.kernels.epilogue import store_part, to_float
from edgebig.kernels.float_unary import PLAIN
from edgebig.kernels.tile import Tile
from edgebig.kernels.vector import F32, I32, Value, at, load, splat


def load_parameters(b: ir.IRBuilder, parameters: Value) -> tuple[Value, Value]:
    """The scale (f32) and the zero point (i32) that `DynamicQuantize` has written."""
    return load(b, parameters, F32), load(b, at(b, parameters, 4), I32)


@dataclass(frozen=True, kw_only=True)
class DynamicTile(Tile):
    """A tile with f32 output: activation((sums - zero_point * column sums) * (scale * multiplier) + bias).

    Where the plain tile has the bias of the accumulators, this one has the sums of the columns of weights.

    Attributes:
        scale: Of the activations, f32.
        zero_point: Of the activations, i32.
        bias_after: What has to be added to the address of a multiplier for that of the bias, f32.
        activation: The function applied at last, or "".
        biases: Vectors of that bias, once they are loaded.
    """

    scale: Value
    zero_point: Value
    bias_after: Value
    activation: str
    biases: tuple[Value, ...] = ()

    def _first(self, b: ir.IRBuilder, bias: Value) -> list[Value]:
        """sum((x - z) * w) begins with -z * sum(w); a signed dot product takes x - 128 for x."""
        shift = b.sub(I32(128 if self.dot.signed else 0), self.zero_point)
        factor = splat(b, shift, self.dot.lanes)
        first = super()._first(b, bias)
        return [value if isinstance(value, ir.Constant) else b.mul(value, factor) for value in first]

    def finish(self, b: ir.IRBuilder, accumulators: list[Value], multiplier: Value, y: Value) -> None:
        """Scale, add the bias, and write."""
        biases = tuple(self._vectors(b, b.add(multiplier, self.bias_after), F32))
        super(DynamicTile, replace(self, biases=biases)).finish(b, accumulators, multiplier, y)

    def _write(self, b: ir.IRBuilder, part: Sequence[Value], scales: Sequence[Value], y: Value) -> None:
        lanes = self.dot.lanes
        for j, vector in enumerate(part):
            factor = b.fmul(splat(b, self.scale, lanes), scales[j])
            real = b.fadd(b.fmul(to_float(b, vector), factor), self.biases[j])
            if self.activation:
                real = PLAIN[self.activation](b, real)
            store_part(b, real, at(b, y, 4 * lanes * j), min(lanes, self.filters - lanes * j), element_bytes=4)
