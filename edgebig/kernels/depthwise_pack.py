"""Depthwise weights in the order the tiles read them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebig.kernels.depthwise_plan import VECTORS, Plan
from edgebig.kernels.errors import KernelError


def by_block(plan: Plan, values: NDArray[Any]) -> NDArray[Any]:
    """Per-channel values [channels, ...] as [blocks, block, ...]; zeros where a block has more than there are."""
    short = max(0, plan.block - plan.channels)
    padded = np.pad(values, [(0, short), *[(0, 0)] * (values.ndim - 1)])
    return np.stack([padded[start : start + plan.block] for start in plan.block_starts()])


def pack_weights(plan: Plan, weights: NDArray[Any]) -> NDArray[Any]:
    """Kernels [channels, height, width] for the plan's tiles.

    Returns:
        Unrolled: [blocks, width, uses, vectors, lanes, group] of the dot's type. Looped: [blocks, height, width,
        vectors, lanes] of int32, or float32.
    """
    window, dot = plan.window, plan.dot
    blocks = by_block(plan, weights).reshape(-1, VECTORS, dot.lanes, *window.kernel)
    if not plan.unrolled:
        return np.ascontiguousarray(blocks.transpose(0, 3, 4, 1, 2).astype(np.float32 if dot.real else np.int32))
    groups, uses = plan.row_groups(plan.rows), plan.uses(plan.rows)
    kind = {4: np.int8, 2: np.int16, 1: np.float32}[dot.group]
    packed = np.zeros((len(blocks), window.kernel[1], len(uses), VECTORS, dot.lanes, dot.group), kind)
    for use, (row, group) in enumerate(uses):
        for slot, source in enumerate(groups[group]):
            k, rest = divmod(source - row * window.strides[0], window.dilations[0])
            if rest == 0 and 0 <= k < window.kernel[0]:
                packed[:, :, use, :, :, slot] = blocks[..., k, :].transpose(0, 3, 1, 2)
    return packed


def check_weights(plan: Plan, weights: NDArray[Any], packed: NDArray[Any]) -> None:
    """Refuse weights that the plan's dot gets wrong sums with.

    Raises:
        KernelError: They do not fit its type, or neighbours may leave 16 bits.
    """
    limits = {4: (-128, 127), 2: (-32768, 32767)}.get(plan.dot.group)
    if limits and weights.size and (weights.min() < limits[0] or weights.max() > limits[1]):
        raise KernelError(f"Weights lie in {weights.min()} to {weights.max()}; {plan.dot.name} takes {limits}.")
    if plan.unrolled and not plan.dot.real and not plan.dot.exact(packed.reshape(-1, plan.dot.group)):
        raise KernelError(f"{plan.dot.name} is not exact for these weights; take another instruction set.")
