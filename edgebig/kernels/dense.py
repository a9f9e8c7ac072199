"""Dense convolution and matrix product, with bias and requantisation: im2col panels, then register tiles.

Where the tensor already lies as a tile wants it (1x1, stride 1, bytes or floats) there is no panel, and tiles read the
image itself. `dense_work` says in which order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from edgebig.kernels import dots
from edgebig.kernels.dense_work import PANEL_BYTES, Work
from edgebig.kernels.dots import Dot
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.errors import KernelError
from edgebig.kernels.packing import Blocks, pack_weights, pad_filters
from edgebig.kernels.panel import Panel, Values, Window
from edgebig.kernels.tile import Tile
from edgebig.kernels.vector import function_of


def output_size(size: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Output pixels along one axis."""
    return (size + before + after - (kernel - 1) * dilation - 1) // stride + 1


@dataclass(frozen=True)
class Conv:
    """A convolution of an NHWC image; a matrix product where the image is one pixel wide and the kernel 1x1.

    Attributes:
        dot: Name of the dot product, see `dots.best`.
        batch: Images.
        height: Of an image.
        width: Of an image.
        channels: Of an image.
        filters: Channels of the output.
        kernel: Height and width.
        strides: Down and right.
        dilations: Down and right.
        pads: Top, left, bottom, right.
        groups: Both channels and filters are cut into as many groups.
        x_zero_point: Of the image; also the value of the padding.
        output: Requantised u8; "f32" (accumulator times multiplier); "s32" (the accumulators).
        low: Smallest value of an f32 output.
        high: Largest value of an f32 output.
        x_pitch: Values between neighbouring pixels of the image; 0: `channels`.
        y_pitch: Values between neighbouring pixels of the output; 0: `filters`.
        tasks: Independent parts of the work.
    """

    operands: ClassVar[tuple[str, ...]] = ("x", "weights", "bias", "multiplier", "y")

    dot: str
    batch: int
    height: int
    width: int
    channels: int
    filters: int
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    x_zero_point: int = 0
    output: Requantize | str = "s32"
    low: float = -float("inf")
    high: float = float("inf")
    x_pitch: int = 0
    y_pitch: int = 0
    tasks: int = 1

    def __post_init__(self) -> None:
        sizes = (self.batch, self.height, self.width, self.channels, self.filters, self.groups, self.tasks)
        if min(*sizes, *self.kernel, *self.strides, *self.dilations) < 1 or min(self.pads) < 0:
            raise KernelError(f"sizes of a convolution start at 1, pads at 0: {self}")
        if self.channels % self.groups or self.filters % self.groups:
            raise KernelError(
                f"{self.groups} groups divide neither {self.channels} channels nor {self.filters} filters"
            )
        if min(self.out_height, self.out_width) < 1:
            raise KernelError(f"the kernel is larger than the padded image: {self}")
        if not isinstance(self.output, Requantize) and self.output not in ("f32", "s32"):
            raise KernelError(f'output is {self.output!r}; give a Requantize, "f32" or "s32"')
        if self._dot.real and (self.output == "s32" or self.x_zero_point):
            raise KernelError(f"{self.dot} multiplies floats: no s32 output, no zero point of x")
        if not 0 <= self.x_zero_point <= 255:
            raise KernelError(f"x_zero_point is {self.x_zero_point}; activations are u8, so give 0 to 255")
        if 0 < self.x_pitch < self.channels or 0 < self.y_pitch < self.filters:
            raise KernelError(f"pixels overlap: a pitch is below the number of channels in {self}")
        if not self._direct and self._pitch > PANEL_BYTES:
            raise KernelError(f"a window of {self._blocks.inner} values needs {self._pitch} bytes; {PANEL_BYTES} fit")

    @property
    def out_height(self) -> int:
        """Rows of output pixels."""
        top, _, bottom, _ = self.pads
        return output_size(self.height, self.kernel[0], self.strides[0], self.dilations[0], top, bottom)

    @property
    def out_width(self) -> int:
        """Output pixels in a row."""
        _, left, _, right = self.pads
        return output_size(self.width, self.kernel[1], self.strides[1], self.dilations[1], left, right)

    @property
    def rows(self) -> int:
        """Output pixels of the whole batch."""
        return self.batch * self.out_height * self.out_width

    @property
    def _dot(self) -> Dot:
        return dots.get(self.dot)

    @property
    def _blocks(self) -> Blocks:
        inner = self.channels // self.groups * self.kernel[0] * self.kernel[1]
        filters, dot = self.filters // self.groups, self._dot
        return Blocks(dot, min(dot.vectors, -(-filters // dot.lanes)), filters, inner)

    @property
    def _direct(self) -> bool:
        """Whether tiles read the image itself."""
        plain = self.kernel == (1, 1) and self.strides == (1, 1) and not any(self.pads)
        dot, channels = self._dot, self.channels // self.groups
        return plain and channels % dot.group == 0 and (dot.real or (dot.group == 4 and not dot.signed))

    @property
    def _pitch(self) -> int:
        """Bytes between rows of activations."""
        if self._direct:
            return (self.x_pitch or self.channels) * (4 if self._dot.real else 1)
        pitch = 4 * self._blocks.depth
        return pitch + 64 if pitch % 1024 == 0 else pitch  # rows in the same few cache sets drive each other out

    @property
    def _tile_rows(self) -> int:
        """Rows of a tile: as many as fit the registers, fewer where that wastes less on the last tile."""
        blocks, dot = self._blocks, self._dot
        most = dot.rows * dot.vectors // blocks.vectors if blocks.vectors < dot.vectors else dot.rows
        fitting = most if self._direct else PANEL_BYTES // self._pitch
        most = max(1, min(most, dot.rows * 2, self.rows, fitting))
        return min(range(1, most + 1), key=lambda rows: (-(-self.rows // rows) * (rows + 1), -rows))

    def constants(
        self,
        weights: NDArray[np.generic],
        bias: NDArray[np.generic] | None,
        multiplier: ArrayLike,
        weight_zero_point: ArrayLike = 0,
    ) -> dict[str, NDArray[Any]]:
        """The constant operands, packed.

        Args:
            weights: [filters, channels / groups, height, width], s8 or u8; f32 for floats.
            bias: [filters], s32 (f32 for floats), in units of the accumulator; None is none.
            multiplier: [filters] f32: from the accumulator to the output; one value serves all.
            weight_zero_point: Of the weights, one or one per filter.

        Returns:
            Arrays for "weights", "bias" and "multiplier".

        Raises:
            KernelError: Shapes disagree, or the dot product is not exact for these weights.
        """
        shape = (self.filters, self.channels // self.groups, *self.kernel)
        if weights.shape != shape:
            raise KernelError(f"weights are {weights.shape}; {self} needs {shape}")
        if not self._dot.real:
            zero_point = np.broadcast_to(np.asarray(weight_zero_point, np.int32), (self.filters,))
            weights = weights.astype(np.int32) - zero_point[:, None, None, None]
        scale = np.broadcast_to(np.asarray(multiplier, np.float32), (self.filters,)) if np.size(multiplier) else None
        return {
            "weights": pack_weights(weights, self.groups, self._blocks),
            "bias": pad_filters(self._bias(weights, bias), self.groups, self._blocks),
            "multiplier": pad_filters(
                np.ones(self.filters, np.float32) if scale is None else scale, self.groups, self._blocks
            ),
        }

    def _bias(self, weights: NDArray[np.generic], bias: NDArray[np.generic] | None) -> NDArray[np.generic]:
        """The bias that takes up the zero point of x: sum((x - z) * w) = sum(x * w) - z * sum(w)."""
        if self._dot.real:
            return np.zeros(self.filters, np.float32) if bias is None else np.asarray(bias, np.float32)
        shift = self.x_zero_point - (128 if self._dot.signed else 0)
        total = (0 if bias is None else np.asarray(bias, np.int64)) - shift * weights.sum(
            axis=(1, 2, 3), dtype=np.int64
        )
        return np.broadcast_to(total, (self.filters,)).astype(np.int32)  # wraps as the accumulators do

    def build(self) -> Callable[..., Any]:
        """The function `run(x, weights, bias, multiplier, y, task)`.

        Raises:
            KernelError: The processor lacks the dot product.
        """
        if not dots.runs(self._dot):
            known = ", ".join(dot.name for dot in dots.available())
            raise KernelError(f"this processor has no {self.dot}; it has {known}")
        work = function_of(6, self.work.emit)

        @njit
        def run(x: int, weights: int, bias: int, multiplier: int, y: int, task: int) -> None:
            work(x, weights, bias, multiplier, y, task)

        return run

    @property
    def work(self) -> Work:
        """The code that `build` compiles."""
        blocks, pitch, x_pitch = self._blocks, self._pitch, self.x_pitch or self.channels
        y_bytes = 1 if isinstance(self.output, Requantize) else 4
        values = Values(
            "f32" if blocks.dot.real else "i16" if blocks.dot.group == 2 else "s8" if blocks.dot.signed else "u8"
        )
        window = Window(
            self.height,
            self.width,
            self.out_height,
            self.out_width,
            self.channels // self.groups,
            self.kernel,
            self.strides,
            self.dilations,
            self.pads[:2],
            any(self.pads),
            x_pitch,
            self.x_zero_point,
        )
        tile = Tile(
            blocks.dot,
            self._tile_rows,
            blocks.vectors,
            blocks.width,
            blocks.depth,
            pitch,
            (self.y_pitch or self.filters) * y_bytes,
            self.output,
            self.low,
            self.high,
        )
        return Work(
            None if self._direct else Panel(window, values, pitch),
            tile,
            blocks,
            self.groups,
            self.channels // self.groups * values.x_bytes,
            self.rows,
            y_bytes,
            self.tasks,
        )


def matmul(dot: str, rows: int, inner: int, columns: int, **options: Any) -> Conv:
    """The product of x [rows, inner] and weights [columns, inner, 1, 1]; options as `Conv` has them."""
    return Conv(dot, batch=1, height=rows, width=1, channels=inner, filters=columns, **options)
