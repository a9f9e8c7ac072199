"""The integer weight and the bias of a unit, in the form its target wants."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.quantize.unit import Unit
from edgebig.quantize.weights import QuantizedWeight, adds_no_pairs, quantize_weight
from edgebig.targets.base import Target

_TRIES = 8


@dataclass(frozen=True)
class WeightRule:
    """How weights are quantized.

    Attributes:
        bits: 8, or 7.
        pair_sums: Whether neighbours must not exceed 128 together (see `quantize_weight`).
    """

    bits: int
    pair_sums: bool


def quantize_for(unit: Unit, rule: WeightRule, target: Target, limits: NDArray | None) -> QuantizedWeight:
    """Quantize a unit's weight.

    Args:
        unit: A unit with a weight.
        rule: How.
        target: Says whether it may have a scale per output channel; if not, all its scales are the same.
        limits: Lower limits of the scales for the sake of the bias, one per output channel; None for none.
    """
    assert unit.weighted is not None  # asked of weighted units only
    channels = unit.weighted.array().shape[unit.weighted.output_axis]
    if limits is not None:
        limits = limits.reshape(-1, channels).max(axis=0)  # groups of ConvTranspose share their scales
    safe = adds_no_pairs(unit.weighted)
    bits = 8 if safe else rule.bits
    pair_sums = rule.pair_sums and not safe
    weight = quantize_weight(unit.weighted, bits, pair_sums=pair_sums, smallest=limits)
    for _ in range(0 if has_channel_scales(unit, target) else _TRIES):
        if (weight.scales == weight.scales[0]).all():
            break
        limits = np.full(channels, weight.scales.max(), np.float32)
        weight = quantize_weight(unit.weighted, bits, pair_sums=pair_sums, smallest=limits)
    return weight


def has_channel_scales(unit: Unit, target: Target) -> bool:
    """Whether a unit's weight has a scale per output channel."""
    return target.per_channel_weights and unit.node.op_type in target.per_channel_ops


def transposed_gemm(unit: Unit, target: Target) -> bool:
    """Whether a unit is a Gemm whose weight [K, N] the target wants as [N, K], with transB."""
    return target.gemm_transposed and unit.node.op_type == "Gemm" and not unit.node.attributes.get_int("transB", 0)


def bias_of(unit: Unit) -> NDArray | None:
    """A unit's bias, one float32 per output channel; None where it has none."""
    array = constant_array(unit.bias)
    if array is None or unit.weighted is None:
        return None
    outputs = unit.weighted.array().shape[unit.weighted.output_axis]
    if unit.node.op_type == "ConvTranspose":
        outputs *= unit.weighted.groups
    return np.broadcast_to(array.reshape(-1), (outputs,)).astype(np.float32)
