"""Weights of 4 or 8 bits in blocks, times float activations: the semantics of `com.microsoft.MatMulNBits`.

y[m, n] = sum over k of x[m, k] * (q[n, k] - zero_point[n, k / block_size]) * scale[n, k / block_size] + bias[n].
Without zero points every weight's is 2**(bits - 1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from edgebig.kernels import dots
from edgebig.kernels.errors import KernelError
from edgebig.kernels.nbits_arithmetic import Arithmetic, arithmetic, best
from edgebig.kernels.nbits_layout import Layout, pack
from edgebig.kernels.nbits_panel import quantize_block, scale_block
from edgebig.kernels.nbits_tile import Tile, float_tile, integer_tile
from edgebig.kernels.nbits_work import PANEL_BYTES, Work
from edgebig.kernels.vector import Value, function_of

FLOAT, INT8 = "float", "int8"
BLOCK_SIZES = (16, 32, 64, 128)


@dataclass(frozen=True)
class MatMulNBits:
    """Float32 activations [rows, inner] times weights of few bits, giving float32 [rows, columns].

    Attributes:
        rows: Of x and y.
        inner: Inputs, K.
        columns: Outputs, N.
        bits: 4 or 8.
        block_size: Inputs that share a scale: 16, 32, 64 or 128.
        has_zero_points: Whether blocks have zero points of their own.
        accuracy: "float": activations as they are (onnxruntime's accuracy level 0 or 1); finite ones, for infinity
            gives NaN. "int8": activations quantized by block to int8, their products summed exactly (level 4).
        dot: One of `edgebig.kernels.dots`, of floats for "float" and of quads for "int8"; "" takes the fastest here.
        tasks: Into how many parts the outputs are split.
    """

    operands: ClassVar[tuple[str, ...]] = ("x", "weights", "bias", "y")

    rows: int
    inner: int
    columns: int
    bits: int
    block_size: int
    has_zero_points: bool
    accuracy: str = INT8
    dot: str = ""
    tasks: int = 1

    def __post_init__(self) -> None:
        if self.bits not in (4, 8) or self.block_size not in BLOCK_SIZES or self.accuracy not in (FLOAT, INT8):
            raise KernelError(
                f"weights of {self.bits} bits in blocks of {self.block_size} at accuracy {self.accuracy!r}: "
                f"bits are 4 or 8, blocks {BLOCK_SIZES}, accuracy {FLOAT!r} or {INT8!r}"
            )
        if min(self.rows, self.inner, self.columns, self.tasks) < 1:
            raise KernelError(f"{self} has nothing to do: rows, inner, columns and tasks are at least 1")
        if not self.dot:
            object.__setattr__(self, "dot", best(real=self.accuracy == FLOAT))
        if dots.get(self.dot).group != (1 if self.accuracy == FLOAT else 4):
            raise KernelError(f"the dot product {self.dot!r} does not serve accuracy {self.accuracy!r}")
        if self.blocks * self._panel_record > PANEL_BYTES:
            most = PANEL_BYTES // self._panel_record * self.block_size
            raise KernelError(f"{self.inner} inputs are too many: at most {most} at accuracy {self.accuracy!r}")

    @property
    def blocks(self) -> int:
        """Blocks of inputs; the last may be partly empty."""
        return -(-self.inner // self.block_size)

    @property
    def layout(self) -> Layout:
        """How the weights are packed; it depends on neither rows nor tasks."""
        if self.accuracy == FLOAT:
            lanes = dots.get(self.dot).lanes
            return Layout(self.bits, self.block_size, lanes, self.has_zero_points, "pairs")
        how = self._arithmetic
        return Layout(self.bits, self.block_size, how.lanes, self.has_zero_points, "quads", how.offset)

    @property
    def _arithmetic(self) -> Arithmetic:
        return arithmetic(self.dot, self.bits, self.block_size, has_zero_points=self.has_zero_points)

    @property
    def _corrections(self) -> int:
        """Correction words of a row's block."""
        return 1 if self.has_zero_points else self.block_size // (self._arithmetic.chunk or self.block_size)

    @property
    def _panel_record(self) -> int:
        """Bytes of a row's block in the panel."""
        if self.accuracy == FLOAT:
            return 4 * self.block_size + 4
        return self.block_size + 4 + 4 * self._corrections

    def constants(
        self,
        weights: NDArray[np.uint8],
        scales: NDArray[np.floating],
        zero_points: NDArray[np.uint8] | None = None,
        bias: NDArray[np.floating] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """The constant operands.

        Args:
            weights: u8 [columns, blocks, block_size * bits / 8], as ONNX packs them.
            scales: f32 or f16, [columns, blocks] or flat.
            zero_points: u8 [columns, ceil(blocks * bits / 8)] or flat, packed as ONNX packs them.
            bias: f32 or f16 [columns].

        Returns:
            "weights" (with scales and zero points in it) and "bias".

        Raises:
            KernelError: A tensor's shape or type is none of these.
        """
        blob = self.block_size * self.bits // 8
        _expect("weights", weights, np.uint8, self.columns * self.blocks * blob)
        _expect("scales", scales, np.floating, self.columns * self.blocks)
        if (zero_points is not None) != self.has_zero_points:
            raise KernelError(f"zero points were {'given' if zero_points is not None else 'not given'} to {self}")
        points = None
        if zero_points is not None:
            width = -(-self.blocks * self.bits // 8)
            _expect("zero_points", zero_points, np.uint8, self.columns * width)
            points = zero_points.reshape(self.columns, width)
        layout = self.layout
        shape = (self.columns, self.blocks)
        start = np.zeros(layout.groups(self.columns) * layout.outputs, np.float32)
        if bias is not None:
            _expect("bias", bias, np.floating, self.columns)
            start[: self.columns] = bias.reshape(-1)
        return {"weights": pack(layout, weights.reshape(*shape, blob), scales.reshape(shape), points), "bias": start}

    def build(self) -> Callable[..., Any]:
        """A jitted `run(x, weights, bias, y, task)`.

        Raises:
            KernelError: The processor lacks the dot product.
        """
        if not dots.runs(dots.get(self.dot)):
            known = ", ".join(dot.name for dot in dots.available())
            raise KernelError(f"this processor has no {self.dot}; it has {known}")
        work = function_of(5, self.work.emit)

        @njit
        def run(x, weights, bias, y, task):  # type: ignore[no-untyped-def]
            work(x, weights, bias, y, task)

        return run

    @property
    def work(self) -> Work:
        """The code that `build` compiles."""
        sizes = (self.rows, self.inner, self.columns, self._panel_record)
        return Work(self.layout, *sizes, self.tasks, self._prepare, self._multiply)

    def _multiply(self, rows: int) -> Callable[..., None]:
        """The code of so many rows by one group of outputs."""
        tile = Tile(self.layout, rows, self.blocks, self._panel_record)
        return float_tile(tile) if self.accuracy == FLOAT else integer_tile(tile, self._arithmetic)

    def _prepare(self, b: Any, x: Value, record: Value) -> None:
        """The code that makes one block of one row ready."""
        point = 1 if self.has_zero_points else 2 ** (self.bits - 1)
        if self.accuracy == FLOAT:
            scale_block(b, x, record, block_size=self.block_size, bits=self.bits, zero_point=point)
            return
        how = self._arithmetic
        chunk = 0 if self.has_zero_points else how.chunk
        point -= 0 if self.has_zero_points else how.offset
        quantize_block(b, x, record, block_size=self.block_size, chunk=chunk, zero_point=point)


def _expect(name: str, tensor: NDArray[Any], kind: Any, size: int) -> None:
    if not np.issubdtype(tensor.dtype, kind) or tensor.size != size:
        raise KernelError(
            f"{name} of type {tensor.dtype} and shape {tensor.shape}: {size} elements of {kind.__name__} are needed"
        )
