"""Depthwise convolution of NHWC images: one kernel for each channel."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from edgebig.kernels import dots
from edgebig.kernels.convert import check_range
from edgebig.kernels.depthwise_body import Layout, depthwise_run
from edgebig.kernels.depthwise_pack import by_block, check_weights, pack_weights
from edgebig.kernels.depthwise_plan import Plan
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from edgebig.kernels.pool_window import Window, check_image

_ANY_BYTE = Requantize()
_NO_LIMITS = (-float("inf"), float("inf"))


@dataclass(frozen=True)
class Depthwise:
    """y = requantize(bias + sum of (x - x_zero_point) * weight), for u8 x and integer weights; exact sums.

    x is [batch, height, width, channels], y [batch, output height, output width, channels]. Constants come from
    `constants`.

    Attributes:
        isa: Name of the dot product, see `edgebig.kernels.dots`; `best_isa` chooses one.
        kernel: Height and width.
        pads: Top, left, bottom, right; padding stands for zero.
        output: u8 with this range: clip(rint(f32(sum) * multiplier) + zero point); or f32: f32(sum) * multiplier.
        low: Least float of an f32 output; `high` the greatest.
        x_pitch: Elements between neighbouring pixels of x, 0 for the channels; `y_pitch` of y.
    """

    isa: str
    batch: int
    height: int
    width: int
    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    x_zero_point: int = 0
    output: Requantize | Literal["f32"] = _ANY_BYTE
    low: float = -float("inf")
    high: float = float("inf")
    x_pitch: int = 0
    y_pitch: int = 0
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "weights", "bias", "multiplier", "y")

    def __post_init__(self) -> None:
        check_range(self.x_zero_point)
        _check(self, real=False)

    @property
    def plan(self) -> Plan:
        """How the work is cut."""
        window = Window((self.height, self.width), self.kernel, self.strides, self.dilations, self.pads)
        return Plan(window, dots.get(self.isa), self.batch, self.channels, self.tasks)

    def constants(
        self, weights: NDArray[Any], bias: NDArray[Any] | None, multiplier: NDArray[Any]
    ) -> dict[str, NDArray[Any]]:
        """The constant operands.

        Args:
            weights: [channels, 1, height, width], integers; their zero point must have been subtracted.
            bias: [channels] int32, in units of x's scale times the weights'; or None.
            multiplier: [channels] float32.

        Raises:
            KernelError: The shapes do not fit, or `isa` is not exact for these weights.
        """
        plan, weights = self.plan, _kernels(self, weights).astype(np.int32)
        packed = pack_weights(plan, weights)
        check_weights(plan, weights, packed)
        sums = weights.sum((1, 2), dtype=np.int64)
        start = np.zeros(self.channels, np.int64) if bias is None else np.asarray(bias, np.int64)
        # The tile multiplies raw bytes, or signed ones that are 128 less.
        start = start - sums * (self.x_zero_point - (128 if plan.dot.signed and plan.unrolled else 0))
        return {
            "weights": packed,
            "bias": by_block(plan, start.astype(np.int32)),
            "multiplier": by_block(plan, np.asarray(multiplier, np.float32)),
        }

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, weights, bias, multiplier, y, task)`."""
        return _build(self, scaled=True, padding=self.x_zero_point)


@dataclass(frozen=True)
class FloatDepthwise:
    """y = bias + sum of x * weight in float32, clamped to low..high; or u8: clip(rint(y * multiplier) + zero point).

    The shapes and fields are those of `Depthwise`; `isa` names a dot product of floats.
    """

    isa: str
    batch: int
    height: int
    width: int
    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    output: Requantize | Literal["f32"] = "f32"
    low: float = -float("inf")
    high: float = float("inf")
    x_pitch: int = 0
    y_pitch: int = 0
    tasks: int = 1

    operands: ClassVar[tuple[str, ...]] = ("x", "weights", "bias", "multiplier", "y")

    def __post_init__(self) -> None:
        _check(self, real=True)

    @property
    def plan(self) -> Plan:
        """How the work is cut."""
        window = Window((self.height, self.width), self.kernel, self.strides, self.dilations, self.pads)
        return Plan(window, dots.get(self.isa), self.batch, self.channels, self.tasks)

    def constants(
        self, weights: NDArray[Any], bias: NDArray[Any] | None, multiplier: NDArray[Any] | None = None
    ) -> dict[str, NDArray[Any]]:
        """The constant operands.

        Args:
            weights: [channels, 1, height, width] float32.
            bias: [channels] float32, or None.
            multiplier: [channels] float32; needed for a u8 output only.

        Raises:
            KernelError: The shapes do not fit.
        """
        plan, zeros = self.plan, np.zeros(self.channels, np.float32)
        return {
            "weights": pack_weights(plan, _kernels(self, weights).astype(np.float32)),
            "bias": by_block(plan, zeros if bias is None else np.asarray(bias, np.float32)),
            "multiplier": by_block(plan, zeros if multiplier is None else np.asarray(multiplier, np.float32)),
        }

    def build(self) -> Callable[..., Any]:
        """The jitted function `run(x, weights, bias, multiplier, y, task)`."""
        return _build(self, scaled=self.output != "f32", padding=0.0)


def best_isa(weights: NDArray[Any], strides: tuple[int, int] = (1, 1), dilations: tuple[int, int] = (1, 1)) -> str:
    """The name of the fastest dot product here that is exact for depthwise weights [channels, 1, height, width].

    Which weights share a 16-bit sum depends on the stride, and on how many output rows are done together, which an
    image of few rows limits; so the choice holds for images of any size.
    """
    if weights.dtype == np.float32:
        return next(dot.name for dot in dots.available() if dot.real)
    for dot in dots.available():
        if dot.real or dot.narrow:
            continue
        try:
            for height in (1, 2, 3, 4):
                plan = Plan(_least_window(weights, strides, dilations, height), dot, 1, int(weights.shape[0]), 1)
                check_weights(plan, weights, pack_weights(plan, weights[:, 0].astype(np.int32)))
        except KernelError:
            continue
        return dot.name
    raise KernelError("No dot product is exact for these weights; they must lie within int16.")


def _least_window(weights: NDArray[Any], strides: tuple[int, int], dilations: tuple[int, int], height: int) -> Window:
    """The smallest image that gives so many output rows."""
    down, across = ((int(weights.shape[2 + axis]) - 1) * dilations[axis] + 1 for axis in (0, 1))
    kernel = (int(weights.shape[2]), int(weights.shape[3]))
    return Window((down + (height - 1) * strides[0], across), kernel, strides, dilations)


def _check(step: Depthwise | FloatDepthwise, *, real: bool) -> None:
    """Refuse fields that contradict each other.

    Raises:
        KernelError: They do.
    """
    check_image(step.batch, step.channels, step.x_pitch, step.y_pitch, step.tasks)
    dot = dots.get(step.isa)
    if dot.real != real or not dots.runs(dot):
        raise KernelError(f"isa is {step.isa!r}, which multiplies {'floats' if dot.real else 'integers'}; it does not "
                          f"suit {type(step).__name__}, or this processor lacks it.")  # fmt: skip
    if step.output != "f32" and not isinstance(step.output, Requantize):
        raise KernelError(f"output is {step.output!r}; it must be a Requantize or 'f32'.")
    if step.output != "f32" and (step.low, step.high) != _NO_LIMITS:
        raise KernelError("low and high limit an f32 output; a Requantize has limits of its own.")
    _ = step.plan


def _kernels(step: Depthwise | FloatDepthwise, weights: NDArray[Any]) -> NDArray[Any]:
    if weights.shape != (step.channels, 1, *step.kernel):
        raise KernelError(f"Weights are {weights.shape}; they must be {(step.channels, 1, *step.kernel)}.")
    return weights[:, 0]


def _build(step: Depthwise | FloatDepthwise, *, scaled: bool, padding: float) -> Callable[..., Any]:
    plan = step.plan
    probe = pack_weights(plan, np.zeros((step.channels, *step.kernel), np.int32))
    pitches = step.x_pitch or step.channels, step.y_pitch or step.channels
    layout = Layout(step.output, (step.low, step.high), scaled, padding, *pitches, probe[0].nbytes)
    return depthwise_run(plan, layout)
