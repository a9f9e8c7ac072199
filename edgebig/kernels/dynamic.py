"""Quantization at run time: DynamicQuantizeLinear, and the matrix product that takes its scale and zero point."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numpy.typing import ArrayLike, NDArray

from edgebig.kernels.dense import Conv
from edgebig.kernels.dynamic_product import OPERANDS, check_dynamic, dynamic_constants, dynamic_run
from edgebig.kernels.elementwise_loop import check_counts, emit_stream
from edgebig.kernels.epilogue import concatenate, store_part
from edgebig.kernels.float_rows import LANES, element, fold, load_floats, stepped, walk
from edgebig.kernels.vector import F32, I8, I32, Value, at, const, fill, load, splat, store, vector_of

_ROUND, _ROUND_BITS = 12582912.0, 0x4B400000  # 1.5 * 2**23: adding it rounds half to even


@dataclass(frozen=True)
class DynamicQuantize:
    """y = clip(rint(x / scale) + zero_point, 0, 255), where both follow from the range of x, as DynamicQuantizeLinear.

    In float32, in onnxruntime's order: low = min(x, 0), high = max(x, 0), scale = (high - low) / 255 (1 if that is 0),
    zero_point = rint(clip(0 - low / scale, 0, 255)). All numbers have to be finite. Every task finds the range anew.

    Attributes:
        size: Elements.
    """

    size: int
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "parameters", "y")
    """"parameters" is 8 bytes: the scale (f32) and the zero point (s32)."""

    def __post_init__(self) -> None:
        check_counts(size=self.size, tasks=self.tasks)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, parameters, y, task)`."""
        return stepped(3, self._emit)

    def _emit(self, b: ir.IRBuilder, x: Value, parameters: Value, y: Value, task: Value) -> None:
        scale, zero_point = self._range(b, x)
        with b.if_then(b.icmp_signed("==", task, const(0))):
            store(b, b.extract_element(scale, I32(0)), parameters)
            store(b, b.extract_element(zero_point, I32(0)), at(b, parameters, 4))

        def quantize(b: ir.IRBuilder, addresses: Sequence[Value], index: Value, lanes: int) -> None:
            source, target = element(b, addresses[0], index), b.add(addresses[1], index)
            step = min(lanes, LANES)
            parts = []
            for first in range(0, lanes, step):
                value = load(b, at(b, source, 4 * first), vector_of(F32, step))
                part_scale, part_point = (_first_lanes(b, whole, step) for whole in (scale, zero_point))
                parts.append(_rounded(b, b.fdiv(value, part_scale), part_point))
            store_part(b, concatenate(b, parts, I8), target, lanes)

        emit_stream(b, (x, y), task, self.size, self.tasks, quantize)

    def _range(self, b: ir.IRBuilder, x: Value) -> tuple[Value, Value]:
        """The scale (f32) and the zero point (i32), in every lane of a vector."""
        zero = fill(F32, LANES, 0.0)

        def smaller(left: Value, right: Value) -> Value:
            return b.select(b.fcmp_ordered("<", left, right), left, right)

        def larger(left: Value, right: Value) -> Value:
            return b.select(b.fcmp_ordered(">", left, right), left, right)

        def widen(index: Value, count: int, carried: Sequence[Value]) -> Sequence[Value]:
            value = load_floats(b, x, index, count)  # lanes that are not read hold 0, which the range includes anyway
            return [smaller(value, carried[0]), larger(value, carried[1])]

        low, high = walk(b, self.size, widen, [zero, zero])
        low, high = fold(b, low, smaller), fold(b, high, larger)
        scale = b.fdiv(b.fsub(high, low), fill(F32, LANES, 255.0))
        scale = b.select(b.fcmp_ordered("==", low, high), fill(F32, LANES, 1.0), scale)
        return scale, _rounded(b, b.fsub(zero, b.fdiv(low, scale)), fill(I32, LANES, 0))


def _first_lanes(b: ir.IRBuilder, vector: Value, lanes: int) -> Value:
    return vector if lanes == LANES else splat(b, b.extract_element(vector, I32(0)), lanes)


def _rounded(b: ir.IRBuilder, x: Value, zero_point: Value) -> Value:
    """clip(rint(x) + zero_point, 0, 255), as a vector of i32; NaN becomes 0."""
    lanes = x.type.count
    point = b.sitofp(zero_point, x.type)
    low, high = b.fneg(point), b.fsub(fill(F32, lanes, 255.0), point)
    x = b.select(b.fcmp_ordered(">", x, low), x, low)
    x = b.select(b.fcmp_ordered("<", x, high), x, high)
    bits = b.bitcast(b.fadd(x, fill(F32, lanes, _ROUND)), zero_point.type)
    return b.add(b.sub(bits, fill(I32, lanes, _ROUND_BITS)), zero_point)


@dataclass(frozen=True)
class DynamicMatMul:
    """y = activation((x - zero_point) @ (w - zw)^T * (scale * multiplier) + bias), f32, of x quantized at run time.

    Sums are exact; the rest is in float32.

    Attributes:
        dot: Name of the dot product; one that is exact for the weights.
        rows: Rows of x and y.
        inner: Columns of x.
        columns: Columns of y.
        activation: A function of one number of `float_unary.PLAIN`, or "" for none.
        x_pitch: Values between rows of x; 0: `inner`.
        y_pitch: Values between rows of y; 0: `columns`.

    Raises:
        KernelError: The activation is not known, the dot product is one of floats, or what `Conv` refuses.
    """

    dot: str
    rows: int
    inner: int
    columns: int
    activation: str = ""
    x_pitch: int = 0
    y_pitch: int = 0
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = OPERANDS

    def __post_init__(self) -> None:
        check_dynamic(self._product, self.activation)

    @property
    def _product(self) -> Conv:
        return Conv(
            self.dot,
            batch=1,
            height=self.rows,
            width=1,
            channels=self.inner,
            filters=self.columns,
            output="f32",
            x_pitch=self.x_pitch,
            y_pitch=self.y_pitch,
            tasks=self.tasks,
        )

    def constants(
        self,
        weights: NDArray[np.generic],
        bias: NDArray[np.generic] | None,
        multiplier: ArrayLike,
        weight_zero_point: ArrayLike = 0,
    ) -> dict[str, NDArray[Any]]:
        """The constant operands, packed.

        Args:
            weights: [columns, inner], s8 or u8.
            bias: [columns] f32; None is none.
            multiplier: Scale of the weights: [columns] f32, or one for all.
            weight_zero_point: Of the weights, one or one per column.

        Returns:
            Arrays for "weights", "column_sums", "bias" and "multiplier".

        Raises:
            KernelError: Shapes disagree, or the dot product is not exact for these weights.
        """
        return dynamic_constants(self._product, weights[:, :, None, None], bias, multiplier, weight_zero_point)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, parameters, weights, column_sums, bias, multiplier, y, task)`.

        Raises:
            KernelError: The processor lacks the dot product.
        """
        return dynamic_run(self._product, self.activation)
