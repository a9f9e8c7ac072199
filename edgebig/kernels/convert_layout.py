"""Images of floats with channels first, to and from bytes with channels last: conversion and transpose in one pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from edgebig.kernels.convert import (
    DEQUANTIZING,
    QUANTIZING,
    Dequantize,
    Quantize,
    check_range,
    check_scale,
    dequantized,
    quantized,
    quantizing,
)
from edgebig.kernels.convert_narrow import MOST_CHANNELS, gathered, scattered
from edgebig.kernels.convert_plane import Plane, emit_plane, plain_load, plain_store
from edgebig.kernels.elementwise_loop import check_counts, runner, share
from edgebig.kernels.numbers import NUMBERS, packed, unpacked
from edgebig.kernels.vector import F32, I8, Loop, Value, const, load, store, vector_of

_SIDE = 16


def _over_images(plane: Plane, batch: int, tasks: int, kinds: str, emit: Callable[..., None]) -> Callable[..., Any]:
    """A step that does `emit(builder, plane, x, y, first block, last block, numbers)` for every image."""
    x_image, y_image = plane.rows * plane.columns * plane.x_bytes, plane.rows * plane.columns * plane.y_bytes

    def body(b: ir.IRBuilder, x: Value, numbers: Value, y: Value, task: Value) -> None:
        scalars = unpacked(b, numbers, kinds)
        first, last = share(b, plane.blocks[1], tasks, task)
        image = Loop(b, const(batch))
        source = b.add(x, b.mul(image.index, const(x_image)))
        target = b.add(y, b.mul(image.index, const(y_image)))
        emit(b, plane, source, target, first, last, scalars)
        image.end()

    return runner(3, body)


@dataclass(frozen=True)
class QuantizeTranspose:
    """f32 [batch, channels, height, width] -> u8 [batch, height, width, channels], rounded as `Quantize` does."""

    batch: int
    channels: int
    height: int
    width: int
    scale: float
    zero_point: int = 0
    low: int = 0
    high: int = 255
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", NUMBERS, "y")

    def __post_init__(self) -> None:
        check_counts(batch=self.batch, channels=self.channels, height=self.height, width=self.width, tasks=self.tasks)
        check_scale(self.scale)
        check_range(self.zero_point, self.low, self.high)

    def numbers(self) -> NDArray[np.float32]:
        """The contents of the operand "numbers"."""
        return packed(*quantizing(self.scale, self.zero_point, self.low, self.high))

    def without_numbers(self) -> "QuantizeTranspose":
        """The step whose code serves all scales, zero points and ranges."""
        return QuantizeTranspose(self.batch, self.channels, self.height, self.width, 1.0, tasks=self.tasks)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, numbers, y, task)`."""
        pixels = self.height * self.width
        if pixels == 1 or self.channels == 1:
            return Quantize(self.batch * pixels * self.channels, self.scale, tasks=self.tasks).build()

        def read(b: ir.IRBuilder, address: Value, lanes: int, numbers: Sequence[Value]) -> Value:
            return quantized(b, load(b, address, vector_of(F32, lanes)), numbers)

        if self.channels <= MOST_CHANNELS:
            return gathered(self.batch, self.channels, pixels, self.tasks, QUANTIZING, read)

        def emit(b: ir.IRBuilder, plane: Plane, x: Value, y: Value, *rest: Any) -> None:
            first, last, numbers = rest
            emit_plane(b, plane, x, y, lambda b, x, lanes: read(b, x, lanes, numbers), plain_store, first, last)

        plane = Plane(self.channels, pixels, 4 * pixels, self.channels, I8, _SIDE, 4, 1)
        return _over_images(plane, self.batch, self.tasks, QUANTIZING, emit)


@dataclass(frozen=True)
class DequantizeTranspose:
    """u8 [batch, height, width, channels] -> f32 [batch, channels, height, width]: (x - zero_point) * scale."""

    batch: int
    channels: int
    height: int
    width: int
    scale: float
    zero_point: int = 0
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", NUMBERS, "y")

    def __post_init__(self) -> None:
        check_counts(batch=self.batch, channels=self.channels, height=self.height, width=self.width, tasks=self.tasks)
        check_scale(self.scale)
        check_range(self.zero_point)

    def numbers(self) -> NDArray[np.float32]:
        """The contents of the operand "numbers"."""
        return packed(float(self.scale), self.zero_point)

    def without_numbers(self) -> "DequantizeTranspose":
        """The step whose code serves all scales and zero points."""
        return DequantizeTranspose(self.batch, self.channels, self.height, self.width, 1.0, tasks=self.tasks)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, numbers, y, task)`."""
        pixels = self.height * self.width
        if pixels == 1 or self.channels == 1:
            return Dequantize(self.batch * pixels * self.channels, self.scale, tasks=self.tasks).build()

        def write(b: ir.IRBuilder, vector: Value, address: Value, numbers: Sequence[Value]) -> None:
            store(b, dequantized(b, vector, numbers), address)

        if self.channels <= MOST_CHANNELS:
            return scattered(self.batch, self.channels, pixels, self.tasks, DEQUANTIZING, write)

        def emit(b: ir.IRBuilder, plane: Plane, x: Value, y: Value, *rest: Any) -> None:
            first, last, numbers = rest
            emit_plane(b, plane, x, y, plain_load(I8), lambda b, v, y: write(b, v, y, numbers), first, last)

        plane = Plane(pixels, self.channels, self.channels, 4 * pixels, I8, _SIDE, 1, 4)
        return _over_images(plane, self.batch, self.tasks, DEQUANTIZING, emit)
