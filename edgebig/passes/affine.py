"""Nodes that scale and shift channels by constants: BatchNormalization, and Mul, Div, Add, Sub with a constant.

All of them are y = scale * x + shift, with one scale and shift per channel. They are computed in float64 here and
rounded once, into the weights they end in: var + epsilon in float16 loses most of its digits.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array

BINARY_OPS = ("Mul", "Div", "Add", "Sub")
BATCH_NORM = "BatchNormalization"
DEFAULT_EPSILON = 1e-5


@dataclass(frozen=True)
class Affine:
    """y = scale * x + shift.

    Attributes:
        node: The node that does it.
        data: The x.
        scale: float64, [channels] or [1].
        shift: float64, [channels] or [1].
    """

    node: ir.Node
    data: ir.Value
    scale: NDArray[np.float64]
    shift: NDArray[np.float64]

    @property
    def output(self) -> ir.Value:
        """The y."""
        return self.node.outputs[0]

    @property
    def kind(self) -> str:
        """The operator, for reports."""
        return self.node.op_type


def affine_data(node: ir.Node) -> ir.Value | None:
    """The input that the node scales and shifts; None where it is no such node."""
    if node.domain not in ("", "ai.onnx") or not node.inputs:
        return None
    if node.op_type == BATCH_NORM:
        return node.inputs[0]
    if node.op_type not in BINARY_OPS or len(node.inputs) != 2:
        return None
    constant = [constant_array(value) is not None for value in node.inputs]
    if constant == [False, True]:
        return node.inputs[0]
    # constant / x is not affine.
    return node.inputs[1] if constant == [True, False] and node.op_type != "Div" else None


def read_affine(node: ir.Node, *, rank: int | None, axis: int, channels: int) -> Affine | str:
    """See a node as scale and shift per channel, or say why it is none.

    Args:
        node: A node with an `affine_data`.
        rank: The rank of its data; None where unknown.
        axis: The axis of the channels, counted from the end (negative).
        channels: How many there are.
    """
    data = affine_data(node)
    if data is None:
        return f"{node.op_type} has no constant operand"
    if node.op_type == BATCH_NORM:
        found = _batch_norm(node, rank, axis, channels)
    else:
        found = _binary(node, data, rank, axis, channels)
    if isinstance(found, str):
        return found
    scale, shift = found
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        return "its constants give scales or shifts that are not finite"
    return Affine(node, data, scale, shift)


def _batch_norm(node: ir.Node, rank: int | None, axis: int, channels: int) -> tuple[NDArray, NDArray] | str:
    if node.attributes.get_int("training_mode", 0) or any(value.name for value in node.outputs[1:]):
        return "it is in training mode, where it normalises by the batch itself"
    if node.attributes.get_int("spatial", 1) == 0:
        return "it normalises every position on its own (spatial=0)"
    if rank is None or rank + axis != 1:
        return "its channels (axis 1) are not the channels of the weights"
    arrays = [constant_array(value) for value in node.inputs[1:5]]
    if len(arrays) < 4 or any(array is None for array in arrays):
        return "its parameters are not constant"
    gamma, beta, mean, variance = (np.asarray(array, np.float64).reshape(-1) for array in arrays)
    if any(array.size != channels for array in (gamma, beta, mean, variance)):
        return f"its parameters are not of the {channels} channels of the weights"
    deviation = variance + node.attributes.get_float("epsilon", DEFAULT_EPSILON)
    if (deviation <= 0).any():
        return "its variance plus epsilon is not positive"
    scale = gamma / np.sqrt(deviation)
    return scale, beta - mean * scale


def _binary(node: ir.Node, data: ir.Value, rank: int | None, axis: int, channels: int) -> tuple[NDArray, NDArray] | str:
    second = node.inputs[0] is data
    array = constant_array(node.inputs[1] if second else node.inputs[0])
    flat = None if array is None else per_channel(array, rank=rank, axis=axis, channels=channels)
    if flat is None:
        return f"the constant of {node.op_type} has not one value per channel"
    zero, one = np.zeros(1), np.ones(1)
    if node.op_type == "Mul":
        return flat, zero
    if node.op_type == "Div":
        with np.errstate(divide="ignore"):
            return one / flat, zero
    if node.op_type == "Add":
        return one, flat
    return (one, -flat) if second else (-one, flat)


def per_channel(array: NDArray, *, rank: int | None, axis: int, channels: int) -> NDArray[np.float64] | None:
    """An operand as one value per channel, or one for all, where broadcasting makes it that and nothing more.

    Args:
        array: The constant operand of an elementwise operator.
        rank: The rank of the other operand; None where unknown.
        axis: The axis of the channels, counted from the end (negative).
        channels: How many there are.

    Returns:
        float64 [channels] or [1]; None where the operand varies along another axis, or would add axes.
    """
    if rank is None:
        rank = 1  # the least the data can have; more axes of the constant could add some to the result
    if array.ndim > rank:
        return None
    if array.size == 1:
        return array.astype(np.float64).reshape(1)
    shape = (1,) * (rank - array.ndim) + array.shape
    if rank + axis < 0 or shape[axis] != channels or array.size != channels:
        return None
    return array.astype(np.float64).reshape(channels)
