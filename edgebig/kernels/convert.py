"""Between floats and bytes, and between two ways to hold the same numbers, element by element."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir

from edgebig.kernels.convert_rounding import to_bytes, to_float
from edgebig.kernels.elementwise_loop import check_counts, streamed
from edgebig.kernels.errors import KernelError
from edgebig.kernels.vector import F32, I8, Value, const, fill, load, store, vector_of


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


def quantized(b: ir.IRBuilder, x: Value, scale: float, zero_point: int, low: int = 0, high: int = 255) -> Value:
    """A vector of floats as bytes: clip(rint(x / scale) + zero_point). A division, as ONNX says."""
    return to_bytes(b, b.fdiv(x, fill(F32, x.type.count, float(np.float32(scale)))), zero_point, low, high)


def dequantized(b: ir.IRBuilder, x: Value, scale: float, zero_point: int) -> Value:
    """A vector of bytes as floats: (x - zero_point) * scale."""
    return b.fmul(to_float(b, x, zero_point), fill(F32, x.type.count, float(np.float32(scale))))


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

    operands: ClassVar[tuple[str, ...]] = ("x", "y")

    def __post_init__(self) -> None:
        check_counts(size=self.size, tasks=self.tasks)
        check_scale(self.scale)
        check_range(self.zero_point, self.low, self.high)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, y, task)`."""

        def emit(b: ir.IRBuilder, addresses: Any, index: Value, lanes: int) -> None:
            x, y = addresses
            values = load(b, b.add(x, b.mul(index, const(4))), vector_of(F32, lanes))
            store(b, quantized(b, values, self.scale, self.zero_point, self.low, self.high), b.add(y, index))

        return streamed(2, self.size, self.tasks, emit)


@dataclass(frozen=True)
class Dequantize:
    """u8 -> f32: y = (x - zero_point) * scale. Bit-exact with onnxruntime's DequantizeLinear."""

    size: int
    scale: float
    zero_point: int = 0
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "y")

    def __post_init__(self) -> None:
        check_counts(size=self.size, tasks=self.tasks)
        check_scale(self.scale)
        check_range(self.zero_point)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, y, task)`."""

        def emit(b: ir.IRBuilder, addresses: Any, index: Value, lanes: int) -> None:
            x, y = addresses
            values = load(b, b.add(x, index), vector_of(I8, lanes))
            store(b, dequantized(b, values, self.scale, self.zero_point), b.add(y, b.mul(index, const(4))))

        return streamed(2, self.size, self.tasks, emit)


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

    operands: ClassVar[tuple[str, ...]] = ("x", "y")

    def __post_init__(self) -> None:
        check_counts(size=self.size, tasks=self.tasks)
        check_scale(self.x_scale)
        check_scale(self.y_scale)
        check_range(self.x_zero_point)
        check_range(self.y_zero_point, self.low, self.high)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, y, task)`."""

        def emit(b: ir.IRBuilder, addresses: Any, index: Value, lanes: int) -> None:
            x, y = addresses
            values = dequantized(b, load(b, b.add(x, index), vector_of(I8, lanes)), self.x_scale, self.x_zero_point)
            store(b, quantized(b, values, self.y_scale, self.y_zero_point, self.low, self.high), b.add(y, index))

        return streamed(2, self.size, self.tasks, emit)


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
