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
from edgebig.kernels.nbits_panel import clear_words, copy_words, quantize_block, scale_block
from edgebig.kernels.nbits_tile import Tile, float_tile, integer_tile
from edgebig.kernels.vector import intrinsic_of, scratch

FLOAT, INT8 = "float", "int8"
BLOCK_SIZES = (16, 32, 64, 128)
# Rows of a tile: the work of unpacking weights is shared by them, and four use the registers well.
TILE_ROWS = 4
# Stack that the activations of one pass may take.
PANEL_BYTES = 192 * 1024


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
        """A jitted `run(x, weights, bias, y, task)`."""
        layout, blocks, record, size = self.layout, self.blocks, self._panel_record, self.block_size
        rows, columns, inner, tasks = self.rows, self.columns, self.inner, self.tasks
        groups, outputs, group_bytes = layout.groups(columns), layout.outputs, blocks * layout.record
        room = PANEL_BYTES // (blocks * record)
        full = min(TILE_ROWS, room, rows)
        at_once = min(room // full * full, rows)
        panel_memory, edge_memory, tail_memory = (
            scratch(bytes_) for bytes_ in (at_once * blocks * record, full * outputs * 4, size * 4)
        )
        prepare, copy, clear = self._prepare_block(), copy_words(), clear_words()
        multiply, multiply_rest = self._multiply(full), self._multiply(rows % full or full)

        # One function that calls each piece of vector code in one place: every other call compiles it once more.
        @njit
        def run(x, weights, bias, y, task):  # type: ignore[no-untyped-def]
            panel, edge, tail = panel_memory(), edge_memory(), tail_memory()
            clear(tail, size)
            for start in range(0, rows, at_once):
                count = min(at_once, rows - start)
                for row in range(count):
                    tile = row - row % full
                    together = min(full, count - tile)
                    for block in range(blocks):
                        source = x + 4 * ((start + row) * inner + block * size)
                        if (block + 1) * size > inner:
                            copy(source, tail, inner - block * size)
                            source = tail
                        prepare(source, panel + (tile * blocks + block * together + row - tile) * record)
                for group in range(groups * task // tasks, groups * (task + 1) // tasks):
                    w, first = weights + group * group_bytes, bias + 4 * group * outputs
                    width = min(outputs, columns - group * outputs)
                    for row in range(0, count, full):
                        tile = panel + row * blocks * record
                        place = y + 4 * ((start + row) * columns + group * outputs)
                        # The last group may be wider than what is left of y.
                        to, pitch = (place, 4 * columns) if width == outputs else (edge, 4 * outputs)
                        if row + full <= count:
                            multiply(tile, w, first, to, pitch)
                        else:
                            multiply_rest(tile, w, first, to, pitch)
                        if width < outputs:
                            for i in range(min(full, count - row)):
                                copy(edge + 4 * i * outputs, place + 4 * i * columns, width)

        return run

    def _multiply(self, rows: int) -> Callable[..., Any]:
        """`multiply(panel, weights, bias, y, pitch)`: so many rows by one group of outputs."""
        tile = Tile(self.layout, rows, self.blocks, self._panel_record)
        return float_tile(tile) if self.accuracy == FLOAT else integer_tile(tile, self._arithmetic)

    def _prepare_block(self) -> Callable[..., Any]:
        """`prepare(x, record)`: one block of one row."""
        point = 1 if self.has_zero_points else 2 ** (self.bits - 1)
        if self.accuracy == FLOAT:
            return intrinsic_of(
                2,
                lambda b, x, to: scale_block(b, x, to, block_size=self.block_size, bits=self.bits, zero_point=point),
            )
        how = self._arithmetic
        point -= 0 if self.has_zero_points else how.offset
        chunk = 0 if self.has_zero_points else how.chunk
        return intrinsic_of(
            2, lambda b, x, to: quantize_block(b, x, to, block_size=self.block_size, chunk=chunk, zero_point=point)
        )


def _expect(name: str, tensor: NDArray[Any], kind: Any, size: int) -> None:
    if not np.issubdtype(tensor.dtype, kind) or tensor.size != size:
        raise KernelError(
            f"{name} of type {tensor.dtype} and shape {tensor.shape}: {size} elements of {kind.__name__} are needed"
        )
