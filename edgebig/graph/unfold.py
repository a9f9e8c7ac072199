"""Activations as rows: for every output position of a layer, the inputs that its weight's matrix multiplies.

With X the rows [groups, positions, inputs] and W the matrix of `WeightedNode.to_matrix`, the layer's output at these
positions is X W^T (plus bias). Convolutions of any rank, stride, padding, dilation and number of groups, and ungrouped
transposed ones, are gathered from NHWC at chosen positions only, so that memory follows the positions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.weights import WeightedNode

Positions = NDArray[np.int64]


def count_positions(layer: WeightedNode, shape: Sequence[int]) -> int:
    """Output positions of a layer, over all samples, for the shape of its output."""
    size = int(np.prod(shape))
    channels = shape[1] if _is_convolution(layer) else shape[_output_axis(layer, len(shape))]
    return size // channels if channels else 0


def choose_positions(layer: WeightedNode, shape: Sequence[int], *, limit: int, rng: np.random.Generator) -> Positions:
    """Random output positions, sorted; those of a convolution are taken of every sample.

    Args:
        layer: The layer's node.
        shape: Of its output.
        limit: At most about this many rows.
        rng: Chooses.
    """
    count = count_positions(layer, shape)
    if _is_convolution(layer):
        samples = max(int(shape[0]), 1)
        count, limit = count // samples, max(1, limit // samples)
    return np.arange(count) if count <= limit else np.sort(rng.choice(count, limit, replace=False))


def target_rows(layer: WeightedNode, target: NDArray, chosen: Positions) -> NDArray:
    """An output at positions: [groups, n, outputs of a group], float32 (float64 for float64 values)."""
    if _is_convolution(layer):
        samples, outputs = target.shape[:2]
        rows = target.reshape(samples, outputs, -1)[:, :, chosen].transpose(1, 0, 2)
        rows = rows.reshape(layer.groups, outputs // layer.groups, -1).transpose(0, 2, 1)
    else:
        turned = np.moveaxis(target, _output_axis(layer, target.ndim), -1)
        rows = turned.reshape(-1, turned.shape[-1])[chosen][None]
    return _exact(rows)


def source_rows(layer: WeightedNode, source: NDArray, shape: Sequence[int], chosen: Positions) -> NDArray:
    """What the weight's matrix multiplies at positions: [groups, n, columns], float32 (float64 for float64 values).

    Args:
        layer: The layer's node.
        source: The value it reads, as the node takes it.
        shape: Of the node's output.
        chosen: The positions.
    """
    if _is_convolution(layer):
        return _exact(_gather(layer, source, shape, chosen))
    node = layer.node
    if node.op_type == "Gemm" and node.attributes.get_int("transA", 0) != 0:
        source = source.T
    if layer.weight_index == 0 and source.ndim > 1:  # W [M, K] times [..., K, N]: the activation's columns are the rows
        source = np.moveaxis(source, -2, -1)
    rows = _exact(source.reshape(-1, source.shape[-1])[chosen][None])
    return rows * rows.dtype.type(node.attributes.get_float("alpha", 1.0)) if node.op_type == "Gemm" else rows


def _gather(layer: WeightedNode, source: NDArray, shape: Sequence[int], chosen: Positions) -> NDArray:
    samples, channels = source.shape[:2]
    steps = tuple(shape[2:])
    rank = len(steps)
    where: list[Any] = [slice(None)]
    inside = np.ones((1,) * (rank + 1), bool)
    for axis, place in enumerate(np.unravel_index(chosen, steps)):
        kernel = layer.array().shape[2 + axis]
        index, valid = _taps(layer.node, axis, place, source.shape[2 + axis], steps[axis], kernel)
        spread = [len(chosen)] + [1] * rank
        spread[1 + axis] = kernel
        where.append(index.reshape(spread))
        inside = inside & valid.reshape(spread)
    # [samples, positions, kernel..., channels], zero where the kernel stands on the padding
    taken = np.moveaxis(source, 1, -1)[tuple(where)]
    if not inside.all():
        taken = taken * inside[None, ..., None].astype(source.dtype)
    taken = taken.reshape(samples * len(chosen), -1, layer.groups, channels // layer.groups)
    return taken.transpose(2, 0, 1, 3).reshape(layer.groups, samples * len(chosen), -1)


def _taps(node: ir.Node, axis: int, place: NDArray, size: int, steps: int, kernel: int) -> tuple[NDArray, NDArray]:
    """Input indices [positions, kernel] that the output places read on one axis, and which of them exist."""
    stride, dilation = _attribute(node, "strides", axis), _attribute(node, "dilations", axis)
    taps = dilation * np.arange(kernel)
    if node.op_type == "ConvTranspose":
        reached = place[:, None] + _begin_padding(node, axis) - taps
        index, exact = reached // stride, reached % stride == 0
    else:
        reach = (steps - 1) * stride + dilation * (kernel - 1) + 1
        index = place[:, None] * stride + taps - _padding(node, axis, reach - size)
        exact = np.ones_like(index, bool)
    valid = exact & (index >= 0) & (index < size)
    return np.where(valid, index, 0), valid


def _padding(node: ir.Node, axis: int, missing: int) -> int:
    """Padding before the first element of an axis; `missing` is what SAME paddings add in all."""
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        total = max(missing, 0)
        return total // 2 if mode == "SAME_UPPER" else total - total // 2
    return 0 if mode == "VALID" else _begin_padding(node, axis)


def _begin_padding(node: ir.Node, axis: int) -> int:
    pads: Sequence[int] = node.attributes.get_ints("pads", ())
    return int(pads[axis]) if pads else 0


def _attribute(node: ir.Node, name: str, axis: int) -> int:
    values: Sequence[int] = node.attributes.get_ints(name, ())
    return int(values[axis]) if values else 1


def _is_convolution(layer: WeightedNode) -> bool:
    return layer.node.op_type in ("Conv", "ConvTranspose")


def _output_axis(layer: WeightedNode, rank: int) -> int:
    """The axis of a product's output that counts the weight's outputs."""
    return rank - 2 if layer.weight_index == 0 and rank > 1 else rank - 1


def _exact(rows: NDArray) -> NDArray:
    return np.ascontiguousarray(rows, np.float64 if rows.dtype == np.float64 else np.float32)
