"""Weights to signed integers: symmetric, one scale per output channel, zero point 0, so a pruned zero stays zero."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebig.graph.weights import WeightedNode
from edgebig.quantize.qparams import SMALLEST_SCALE
from edgebig.quantize.weight_search import search_weight

# int32 accumulators hold the bias and the products; the bias may take half of them.
LARGEST_BIAS = 2**30


@dataclass(frozen=True)
class QuantizedWeight:
    """A weight in integers.

    Attributes:
        integers: int8, in the weight's own shape.
        scales: float32, one per output channel.
        axis: The axis of `integers` that counts output channels.
        error: Mean squared error over mean square.
    """

    integers: NDArray
    scales: NDArray
    axis: int
    error: float


def quantize_weight(
    weighted: WeightedNode,
    bits: int,
    *,
    pair_sums: bool = False,
    smallest: NDArray | None = None,
    search: bool = False,
    mean_squares: NDArray | None = None,
) -> QuantizedWeight:
    """Quantize a node's weight.

    Args:
        weighted: The node.
        bits: 8, or 7 for integers up to 64.
        pair_sums: Whether the sum of two neighbouring integers must stay within 128, so that 255 times it fits 16 bits.
        smallest: Lower limits of the scales, one per output channel; None for no limits.
        search: Whether scales are those with the smallest error, instead of those at which the largest weight fits
            (see `edgebig.quantize.weight_search`).
        mean_squares: Mean square of every input channel, to weigh the errors with in the search; None: all alike.
    """
    array = weighted.array().astype(np.float32)
    axis = weighted.output_axis
    limit = largest_integer(bits)
    rows = np.moveaxis(array, axis, 0)
    scales = _safe_scales(np.abs(rows).reshape(len(rows), -1).max(axis=1, initial=0.0) / limit, smallest)
    if search:
        integers, scales = search_weight(
            weighted, scales, limit, pair_sums=pair_sums, smallest=smallest, mean_squares=mean_squares
        )
    else:
        scales = _fit_pairs(weighted, array, scales) if pair_sums else scales
        integers = _round(array, scales, axis, limit)
    return QuantizedWeight(integers, scales, axis, relative_error(array, integers, scales, axis))


def adds_no_pairs(weighted: WeightedNode) -> bool:
    """Whether the kernels of this node multiply in 32 bits: those of depthwise convolutions do."""
    return weighted.is_depthwise and weighted.array().shape[0] == weighted.groups


def largest_integer(bits: int) -> int:
    """The largest integer of a weight: 127 at 8 bits, 64 at 7."""
    return 127 if bits == 8 else 2 ** (bits - 1)


def relative_error(array: NDArray, integers: NDArray, scales: NDArray, axis: int) -> float:
    """Mean squared error of a weight in integers over its mean square.

    Args:
        array: The weight.
        integers: The same in integers.
        scales: One per output channel.
        axis: The axis of output channels.
    """
    error = integers * _spread(scales, axis, array.ndim) - array
    power = float(np.square(array, dtype=np.float64).mean())
    return float(np.square(error, dtype=np.float64).mean()) / power if power else 0.0


def quantize_bias(bias: NDArray, input_scale: float, weight_scales: NDArray) -> NDArray:
    """A bias to int32 with scale `input_scale * weight_scales` and zero point 0.

    Args:
        bias: One value per output channel.
        input_scale: Scale of the activation.
        weight_scales: Scales of the weight; `bias_scale_limits` keeps them large enough.
    """
    scales = np.float32(input_scale) * weight_scales.astype(np.float32)
    return np.rint(bias.astype(np.float64) / scales).astype(np.int32)


def mean_shift(weighted: WeightedNode, weight: QuantizedWeight, means: NDArray) -> NDArray:
    """How far the rounding of a weight moves the mean of every output channel: the mean of its error times the input.

    Taking it off the bias leaves the outputs' means as they were (Nagel et al., "Data-Free Quantization Through Weight
    Equalization and Bias Correction", 2019, section 4.2; here with observed means). At the edges of a padded
    convolution this is an approximation.

    Args:
        weighted: The node.
        weight: Its weight in integers.
        means: Mean of every input channel.

    Returns:
        float32, one per output channel.
    """
    array = weighted.array().astype(np.float32)
    error = weight.integers * _spread(weight.scales, weight.axis, array.ndim) - array
    rows = np.moveaxis(error, weight.axis, 0)
    summed = rows.reshape(rows.shape[0], rows.shape[1], -1).sum(axis=2, dtype=np.float64)
    grouped = summed.reshape(weighted.groups, -1, summed.shape[1])
    shifts = (grouped * means.reshape(weighted.groups, 1, -1)).sum(axis=2)
    return shifts.reshape(-1).astype(np.float32)


def bias_scale_limits(bias: NDArray, input_scale: float) -> NDArray:
    """The smallest weight scales, one per output channel, at which the bias fits into int32 with room for the sum."""
    return (np.abs(bias.astype(np.float64)) / (input_scale * LARGEST_BIAS)).astype(np.float32)


def _safe_scales(scales: NDArray, smallest: NDArray | None) -> NDArray:
    """Scales that are positive: a channel of zeros takes the mean scale of the others, so its bias stays precise."""
    live = scales > SMALLEST_SCALE
    stand_in = float(np.exp(np.log(scales[live]).mean())) if live.any() else 1.0 / 127.0
    scales = np.where(live, scales, stand_in)
    if smallest is not None:
        scales = np.maximum(scales, smallest)
    return scales.astype(np.float32)


def _fit_pairs(weighted: WeightedNode, array: NDArray, scales: NDArray) -> NDArray:
    """Widen the scales until no two neighbours that a kernel adds in 16 bits exceed 128 together."""
    axis = weighted.output_axis
    for _ in range(64):
        sums = _pair_sums(weighted, _round(array, scales, axis, 127))
        if (sums <= 128).all():
            return scales
        scales = np.where(sums > 128, scales * np.maximum(sums / 128.0, 1.0005), scales).astype(np.float32)
    raise AssertionError("at 7 bits every pair fits; the loop passes through that scale")


def _pair_sums(weighted: WeightedNode, integers: NDArray) -> NDArray:
    """The largest magnitude of a neighbours' sum in every output channel.

    Kernels add the products of input channels 2i and 2i + 1 at one kernel position. Where a position has an odd number
    of channels pairs straddle positions, and the two largest values of equal sign are taken for neighbours.
    """
    rows = np.moveaxis(integers.astype(np.int32), weighted.output_axis, 0)
    if weighted.node.op_type in ("Conv", "ConvTranspose"):
        rows = np.moveaxis(rows, 1, -1)
    if rows.shape[-1] % 2 == 0 or rows[0].size == rows.shape[-1]:
        flat = rows.reshape(len(rows), -1)
        flat = np.pad(flat, ((0, 0), (0, flat.shape[1] % 2)))
        return np.abs(flat[:, 0::2] + flat[:, 1::2]).max(axis=1, initial=0)
    flat = np.sort(rows.reshape(len(rows), -1), axis=1)
    high, low = np.maximum(flat[:, -2:], 0), np.minimum(flat[:, :2], 0)
    return np.maximum(high.sum(axis=1), -low.sum(axis=1))


def _round(array: NDArray, scales: NDArray, axis: int, limit: int) -> NDArray:
    return np.clip(np.rint(array / _spread(scales, axis, array.ndim)), -limit, limit).astype(np.int8)


def _spread(scales: NDArray, axis: int, ndim: int) -> NDArray:
    return scales.reshape([-1 if i == axis else 1 for i in range(ndim)])
