"""Pooling of NHWC images: the largest or the mean of each window, channels side by side in vectors."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np
from llvmlite import ir

from edgebig.kernels.convert import check_range
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from edgebig.kernels.pool_mean import slide_mean
from edgebig.kernels.pool_window import KINDS, Element, Slide, Window, check_element, check_image, lanes_for, slide
from edgebig.kernels.vector import F32, I8, Value, fill, maximum, store, vector_of, zeros


@dataclass(frozen=True)
class MaxPool:
    """The largest of each window; padding never is. u8 [batch, height, width, channels], or f32.

    A bottom or right pad may be as large as a rounded-up output needs.
    """

    batch: int
    height: int
    width: int
    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    element: Element = "u8"
    x_pitch: int = 0
    y_pitch: int = 0
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "y")

    def __post_init__(self) -> None:
        check_image(self.batch, self.channels, self.x_pitch, self.y_pitch, self.tasks)
        check_element(self.element)
        _ = self.window

    @property
    def window(self) -> Window:
        """The geometry."""
        return Window((self.height, self.width), self.kernel, self.strides, self.dilations, self.pads)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, y, task)`."""
        kind, size = KINDS[self.element]
        lanes = lanes_for(self.channels, 32)

        def larger(b: ir.IRBuilder, total: Value, x: Value) -> Value:
            if kind is I8:
                return maximum(b, total, x, signed=False)
            return b.select(b.fcmp_ordered(">", x, total), x, total)

        def finish(b: ir.IRBuilder, total: Value, _count: Value, address: Value) -> None:
            store(b, total, address)

        start = zeros(vector_of(I8, lanes)) if kind is I8 else fill(F32, lanes, -np.inf)
        pitches = self.x_pitch or self.channels, self.y_pitch or self.channels
        plan = Slide(self.window, self.batch, self.channels, kind, size, size, *pitches, lanes, self.tasks)
        return slide(plan, start, larger, finish)


@dataclass(frozen=True)
class AveragePool:
    """The mean of each window: y = clip(rint((sum of (x - zero point)) * (multiplier / count)) + zero point).

    The sum is exact for bytes. onnxruntime's QLinearAveragePool sums rounded floats instead, so results next to a half
    may differ from its by one step; its QLinearGlobalAveragePool sums integers, and `GlobalAveragePool` is bit-exact.

    Attributes:
        count_include_pad: Divide by the whole window's size, also where it holds padding.
        multiplier: x's scale divided by the output's; with floats, a factor.
        x_zero_point: Of u8 x.
        output: u8 with this range, or f32.
        element: Type of x.
    """

    batch: int
    height: int
    width: int
    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    count_include_pad: bool = False
    multiplier: float = 1.0
    x_zero_point: int = 0
    output: Requantize | Literal["f32"] = "f32"
    element: Element = "u8"
    x_pitch: int = 0
    y_pitch: int = 0
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "y")

    def __post_init__(self) -> None:
        check_image(self.batch, self.channels, self.x_pitch, self.y_pitch, self.tasks)
        check_element(self.element)
        check_range(self.x_zero_point)
        if self.output != "f32" and not isinstance(self.output, Requantize):
            raise KernelError(f"output is {self.output!r}; it must be a Requantize or 'f32'.")
        if prod(self.kernel) > 2**22:
            raise KernelError(f"kernel is {self.kernel}; a window may hold at most {2**22} elements.")
        _ = self.window

    @property
    def window(self) -> Window:
        """The geometry."""
        return Window((self.height, self.width), self.kernel, self.strides, self.dilations, self.pads)

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, y, task)`."""
        divisor = prod(self.kernel) if self.count_include_pad else None
        return slide_mean(self._slide, self.multiplier, divisor, self.x_zero_point, self.output)

    @property
    def _slide(self) -> Slide:
        kind, size = KINDS[self.element]
        y_size = 4 if self.output == "f32" else 1
        pitches = self.x_pitch or self.channels, self.y_pitch or self.channels
        lanes = lanes_for(self.channels, 32)
        return Slide(self.window, self.batch, self.channels, kind, size, y_size, *pitches, lanes, self.tasks)


@dataclass(frozen=True)
class GlobalAveragePool:
    """The mean of each channel: y = clip(rint((sum of (x - zero point)) * multiplier) + zero point).

    u8 [batch, height, width, channels], or f32, to [batch, channels]. Bit-exact with onnxruntime's
    QLinearGlobalAveragePool on x86-64.

    Attributes:
        multiplier: Scale of x / (scale of y * (height * width)), in float32 in this order; with floats
            1 / (height * width).
        output: u8 with this range, or f32.
    """

    batch: int
    height: int
    width: int
    channels: int
    multiplier: float
    x_zero_point: int = 0
    output: Requantize | Literal["f32"] = "f32"
    element: Element = "u8"
    x_pitch: int = 0
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "y")

    def __post_init__(self) -> None:
        _ = self._pool

    @property
    def _pool(self) -> AveragePool:
        return AveragePool(
            self.batch, self.height, self.width, self.channels, (self.height, self.width),
            multiplier=self.multiplier, x_zero_point=self.x_zero_point, output=self.output, element=self.element,
            x_pitch=self.x_pitch, tasks=self.tasks,
        )  # fmt: skip

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, y, task)`."""
        return slide_mean(self._pool._slide, self.multiplier, 1, self.x_zero_point, self.output)
