"""Between floats and bytes, and between two ways to hold the same numbers, element by element."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from edgebig.kernels.convert_rounding import centred, to_bytes_within
from edgebig.kernels.elementwise_loop import check_counts, streamed, streamed_with_numbers
from edgebig.kernels.errors import KernelError
from edgebig.kernels.numbers import NUMBERS, packed, splats
from edgebig.kernels.vector import F32, I8, Value, const, fill, load, splat, store, vector_of


def check_scale(scale: float) -> None:
    """Refuse a scale that is not a positive float32.

    Raises:
        KernelError: It is zero, negative, infinite or not a number.
    """
    if not (np.isfinite(np.float32(scale)) and np.float32(scale) > 0):
        raise KernelError(f"A scale is {scale}; it must be a positive float32.")


def check_range(zero_point: int, low: int = 0, high: int = 255) -> None:
    """Refuse numbers that no byte holds, and an empty range.

    Raises:
        KernelError: They are.
    """
    if not (0 <= zero_point <= 255 and 0 <= low <= high <= 255):
        raise KernelError(f"Zero point {zero_point}, range {low} to {high}: all must lie in 0 to 255, in order.")


# Kinds of the numbers of `quantizing` and `dequantizing`.
QUANTIZING, DEQUANTIZING = "fffi", "fi"


def quantizing(scale: float, zero_point: int, low: int, high: int) -> tuple[float | int, ...]:
    """The numbers that `quantized` takes."""
    return float(scale), float(low - zero_point), float(high - zero_point), zero_point


def quantized(b: ir.IRBuilder, x: Value, numbers: Sequence[Value]) -> Value:
    """A vector of floats as bytes: clip(rint(x / scale) + zero_point). A division, as ONNX says."""
    scale, least, most, zero_point = splats(b, numbers, x.type.count)
    return to_bytes_within(b, b.fdiv(x, scale), least, most, zero_point)


def dequantized(b: ir.IRBuilder, x: Value, numbers: Sequence[Value]) -> Value:
    """A vector of bytes as floats: (x - zero_point) * scale, numbers in the order scale, zero point."""
    scale, zero_point = numbers
    return b.fmul(centred(b, x, zero_point), splat(b, scale, x.type.count))


@dataclass(frozen=True)
class Quantize:
    """f32 -> u8: y = clip(rint(x / scale) + zero_point, low, high), half to even; not a number gives `low`.

    Bit-exact with onnxruntime's QuantizeLinear on x86-64, for finite x and infinities.
    """

    size: int
    scale: float
    zero_point: int = 0
    low: int = 0
    high: int = 255
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", NUMBERS, "y")

    def __post_init__(self) -> None:
        check_counts(size=self.size, tasks=self.tasks)
        check_scale(self.scale)
        check_range(self.zero_point, self.low, self.high)

    def numbers(self) -> NDArray[np.float32]:
        """The contents of the operand "numbers"."""
        return packed(*quantizing(self.scale, self.zero_point, self.low, self.high))

    def without_numbers(self) -> "Quantize":
        """The step whose code serves all scales, zero points and ranges."""
        return Quantize(self.size, 1.0, tasks=self.tasks)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, numbers, y, task)`."""

        def emit(b: ir.IRBuilder, addresses: Any, index: Value, lanes: int, numbers: Sequence[Value]) -> None:
            x, y = addresses
            values = load(b, b.add(x, b.mul(index, const(4))), vector_of(F32, lanes))
            store(b, quantized(b, values, numbers), b.add(y, index))

        return streamed_with_numbers(self.size, self.tasks, QUANTIZING, emit)


@dataclass(frozen=True)
class Dequantize:
    """u8 -> f32: y = (x - zero_point) * scale. Bit-exact with onnxruntime's DequantizeLinear."""

    size: int
    scale: float
    zero_point: int = 0
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", NUMBERS, "y")

    def __post_init__(self) -> None:
        check_counts(size=self.size, tasks=self.tasks)
        check_scale(self.scale)
        check_range(self.zero_point)

    def numbers(self) -> NDArray[np.float32]:
        """The contents of the operand "numbers"."""
        return packed(float(self.scale), self.zero_point)

    def without_numbers(self) -> "Dequantize":
        """The step whose code serves all scales and zero points."""
        return Dequantize(self.size, 1.0, tasks=self.tasks)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, numbers, y, task)`."""

        def emit(b: ir.IRBuilder, addresses: Any, index: Value, lanes: int, numbers: Sequence[Value]) -> None:
            x, y = addresses
            values = load(b, b.add(x, index), vector_of(I8, lanes))
            store(b, dequantized(b, values, numbers), b.add(y, b.mul(index, const(4))))

        return streamed_with_numbers(self.size, self.tasks, DEQUANTIZING, emit)


@dataclass(frozen=True)
class Requant:
    """u8 -> u8 of another scale: dequantized and quantized again, bit-exact with the two operators."""

    size: int
    x_scale: float
    x_zero_point: int
    y_scale: float
    y_zero_point: int
    low: int = 0
    high: int = 255
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", NUMBERS, "y")

    def __post_init__(self) -> None:
        check_counts(size=self.size, tasks=self.tasks)
        check_scale(self.x_scale)
        check_scale(self.y_scale)
        check_range(self.x_zero_point)
        check_range(self.y_zero_point, self.low, self.high)

    def numbers(self) -> NDArray[np.float32]:
        """The contents of the operand "numbers"."""
        there = quantizing(self.y_scale, self.y_zero_point, self.low, self.high)
        return packed(*there, float(self.x_scale), self.x_zero_point)

    def without_numbers(self) -> "Requant":
        """The step whose code serves all scales, zero points and ranges."""
        return Requant(self.size, 1.0, 0, 1.0, 0, tasks=self.tasks)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, numbers, y, task)`."""

        def emit(b: ir.IRBuilder, addresses: Any, index: Value, lanes: int, numbers: Sequence[Value]) -> None:
            x, y = addresses
            values = dequantized(b, load(b, b.add(x, index), vector_of(I8, lanes)), numbers[len(QUANTIZING) :])
            store(b, quantized(b, values, numbers[: len(QUANTIZING)]), b.add(y, index))

        return streamed_with_numbers(self.size, self.tasks, QUANTIZING + DEQUANTIZING, emit)


@dataclass(frozen=True)
class Flip:
    """int8 <-> u8: y = x ^ 0x80, the same number with a zero point 128 further."""

    size: int
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "y")

    def __post_init__(self) -> None:
        check_counts(size=self.size, tasks=self.tasks)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, y, task)`."""

        def emit(b: ir.IRBuilder, addresses: Any, index: Value, lanes: int) -> None:
            x, y = addresses
            values = load(b, b.add(x, index), vector_of(I8, lanes))
            store(b, b.xor(values, fill(I8, lanes, 128)), b.add(y, index))

        return streamed(2, self.size, self.tasks, emit, lanes=64)
