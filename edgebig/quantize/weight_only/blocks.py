"""A weight to integers: read in parts, a scale and a zero point fitted to every block, rounded."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.errors import InvalidModelError
from edgebig.quantize.weight_only import fit_kernel
from edgebig.quantize.weight_only.gptq import Array, Grid, round_with_feedback
from edgebig.quantize.weight_only.reading import read_all, read_parts
from edgebig.quantize.weight_only.settings import WeightOnlySettings
from edgebig.quantize.weight_only.size import Spec, Storage

SMALLEST_HALF = 6.2e-5


@dataclass(frozen=True)
class Integers:
    """A weight in integers, seen as rows of inputs.

    Attributes:
        values: uint8 [rows, blocks, block_size], 0 .. levels; inputs past the last are the zero point.
        scales: float32 [rows, blocks].
        points: uint8 [rows, blocks].
        error: Mean squared error over mean square.
    """

    values: NDArray[np.uint8]
    scales: NDArray[np.float32]
    points: NDArray[np.uint8]
    error: float


def quantize_tensor(
    tensor: ir.TensorProtocol, spec: Spec, settings: WeightOnlySettings, hessian: Array | None = None
) -> Integers:
    """Quantize a weight.

    Args:
        tensor: The weight.
        spec: How it will be stored.
        settings: How scales are found.
        hessian: Mean X^T X of what it is multiplied with, [inputs, inputs]; rounding takes it into account.

    Raises:
        InvalidModelError: The weight holds NaN or infinities.
    """
    blocks = max(-(-spec.inputs // spec.block_size), 1)
    values = np.empty((spec.rows, blocks, spec.block_size), np.uint8)
    scales = np.empty((spec.rows, blocks), np.float32)
    points = np.empty((spec.rows, blocks), np.uint8)
    error = power = 0.0
    for rows, columns, part in _parts(tensor, spec, whole=hessian is not None):
        if not np.isfinite(part).all():
            raise InvalidModelError(
                f"the weight {tensor.name!r} holds infinities or NaN, which no integer stands for. "
                f"Mend it, or exclude the nodes that read it."
            )
        cut = _blocks(part, spec.block_size)
        flat = cut.reshape(-1, spec.block_size)
        s, p = _fit(flat, spec, settings)
        if hessian is None:
            q = np.empty(flat.shape, np.uint8)
            error += fit_kernel.round_blocks(flat, s, p, spec.levels, q)
        else:
            grid = Grid(s.reshape(len(cut), -1), p.reshape(len(cut), -1), spec.levels, spec.block_size)
            rounded = round_with_feedback(part, hessian, grid, settings.damping)
            q = _padded(rounded, grid)
            centred = q.reshape(flat.shape).astype(np.float32) - p[:, None]
            error += float(np.square(flat - centred * s[:, None], dtype=np.float64).sum())
        values[rows, columns] = q.reshape(cut.shape)
        scales[rows, columns], points[rows, columns] = s.reshape(cut.shape[:2]), p.reshape(cut.shape[:2])
        power += float(np.square(part, dtype=np.float64).sum())
    return Integers(values, scales, points, error / power if power else 0.0)


def _fit(
    flat: NDArray[np.float32], spec: Spec, settings: WeightOnlySettings
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    scales, points = np.empty(len(flat), np.float32), np.empty(len(flat), np.uint8)
    fit_kernel.fit_range(flat, spec.levels, spec.symmetric, scales, points)
    if settings.method == "hqq":
        fit_kernel.fit_half_quadratic(flat, spec.levels, spec.symmetric, scales, points)
    elif settings.search and spec.bits == 4:
        shares = np.asarray(fit_kernel.SHARES, np.float32)
        fit_kernel.fit_least_squares(flat, spec.levels, spec.symmetric, shares, scales, points)
    if spec.dtype == ir.DataType.FLOAT16:
        # Integers are rounded to the scales that the file holds; those of blocks near zero stay normal numbers.
        scales = np.clip(scales, SMALLEST_HALF, np.finfo(np.float16).max).astype(np.float16).astype(np.float32)
    return scales, points


def _parts(tensor: ir.TensorProtocol, spec: Spec, *, whole: bool) -> Iterator[tuple[slice, slice, NDArray[np.float32]]]:
    """Yield (rows, blocks, part [rows, inputs]) as slices and float32 arrays."""
    everything = slice(None)
    if len(spec.shape) != 2 or whole:
        array = read_all(tensor)
        if spec.storage is Storage.PER_CHANNEL:
            matrix = np.moveaxis(array, spec.axis, 0).reshape(spec.rows, spec.inputs)
        else:
            matrix = np.moveaxis(array, spec.axis, -1).reshape(spec.rows, spec.inputs)
        yield everything, everything, np.ascontiguousarray(matrix)
        return
    by_rows = (spec.axis == 1) != (spec.storage is Storage.PER_CHANNEL)
    for start, part in read_parts(tensor, 1 if by_rows else spec.block_size):
        if by_rows:
            yield slice(start, start + len(part)), everything, part
        else:
            first = start // spec.block_size
            count = -(-len(part) // spec.block_size)
            yield everything, slice(first, first + count), np.ascontiguousarray(part.T)


def _blocks(part: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """[rows, inputs] as [rows, blocks, size], zeros at the end."""
    padding = -part.shape[1] % size
    padded = np.pad(part, ((0, 0), (0, padding))) if padding else np.ascontiguousarray(part)
    return padded.reshape(len(part), -1, size)


def _padded(rounded: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """Integers [rows, inputs] as [rows, blocks, size]; what is past the last input stands for zero."""
    rows, blocks = grid.scales.shape
    full = np.repeat(grid.points, grid.block_size, axis=1)
    full[:, : rounded.shape[1]] = rounded
    return full.reshape(rows, blocks, grid.block_size)
