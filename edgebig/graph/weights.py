"""Where the weights of a node lie, and which axis of them is the output channels.

The one place that knows: Conv [O, I/g, ...], ConvTranspose [I, O/g, ...], Gemm [K, N] or [N, K] (transB),
MatMul [..., K, N] (weight second) or [M, K] (weight first). Every weight is seen as a matrix [outputs, inputs]
whose inputs run with the input channel innermost (kernel positions outside), the order of NHWC kernels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array

WEIGHTED_OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class WeightedNode:
    """A node with a constant float weight.

    Attributes:
        node: The node.
        weight: Its weight, an initializer.
        weight_index: Which input of the node the weight is.
        output_axis: The axis of the weight that counts output channels (per group for ConvTranspose).
        groups: Groups of a convolution; 1 elsewhere.
    """

    node: ir.Node
    weight: ir.Value
    weight_index: int
    output_axis: int
    groups: int

    @property
    def name(self) -> str:
        """The node's name, or its weight's where the node has none."""
        return self.node.name or self.weight.name or ""

    @property
    def activation(self) -> ir.Value:
        """The input that is not the weight."""
        value = self.node.inputs[1 - self.weight_index]
        assert value is not None  # by construction: a weighted node has both inputs
        return value

    @property
    def bias(self) -> ir.Value | None:
        """The bias of a Conv, ConvTranspose or Gemm (its third input), if there is one."""
        return self.node.inputs[2] if self.node.op_type != "MatMul" and len(self.node.inputs) > 2 else None

    @property
    def is_depthwise(self) -> bool:
        """A convolution with one input channel per group."""
        shape = self.array().shape
        return self.node.op_type == "Conv" and self.groups > 1 and shape[1] == 1

    def array(self) -> NDArray:
        """The weight as it lies in the file."""
        array = constant_array(self.weight)
        if array is None:
            raise ValueError(f"weight {self.weight.name!r} is not constant")
        return array

    def to_matrix(self, array: NDArray) -> NDArray:
        """See a weight as a matrix [outputs, inputs], input channels innermost (a copy, C order).

        A grouped Conv gives [O, (I/g)*k]: each row holds the inputs of its own group. ConvTranspose with groups
        gives [O/g, I*k].
        """
        rows = np.moveaxis(array, self.output_axis, 0)
        if self.node.op_type in ("Conv", "ConvTranspose"):
            rows = np.moveaxis(rows, 1, -1)
        return np.ascontiguousarray(rows.reshape(rows.shape[0], -1))

    def from_matrix(self, matrix: NDArray) -> NDArray:
        """The inverse of `to_matrix`, in the weight's own shape."""
        shape = list(self.array().shape)
        shape.insert(0, shape.pop(self.output_axis))
        if self.node.op_type in ("Conv", "ConvTranspose"):
            shape.append(shape.pop(1))
            rows = np.moveaxis(matrix.reshape(shape), -1, 1)
        else:
            rows = matrix.reshape(shape)
        return np.ascontiguousarray(np.moveaxis(rows, 0, self.output_axis))


def weighted_nodes(graph: ir.Graph) -> Iterator[WeightedNode]:
    """All nodes of a graph (not of its subgraphs) with a constant float weight, in the graph's order."""
    for node in graph:
        found = as_weighted(node)
        if found is not None:
            yield found


def as_weighted(node: ir.Node) -> WeightedNode | None:
    """See a node as one with a constant float weight; None where it is not."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in WEIGHTED_OPS or len(node.inputs) < 2:
        return None
    index = 1
    if node.op_type == "MatMul" and _is_float_constant(node.inputs[0]) and not _is_float_constant(node.inputs[1]):
        index = 0
    weight = node.inputs[index]
    if weight is None or not _is_float_constant(weight) or _is_float_constant(node.inputs[1 - index]):
        return None
    rank = len(weight.const_value.shape)  # type: ignore[union-attr]
    if rank < 2:
        return None
    axis = output_axis(node.op_type, rank, index=index, transposed=bool(node.attributes.get_int("transB", 0)))
    return WeightedNode(node, weight, index, axis, node.attributes.get_int("group", 1))


def output_axis(op_type: str, rank: int, *, index: int, transposed: bool) -> int:
    """The axis of a weight that counts output channels.

    Args:
        op_type: Conv, ConvTranspose, Gemm or MatMul.
        rank: The weight's rank.
        index: Which operand the weight is (MatMul: 0 or 1).
        transposed: Whether a Gemm has transB.
    """
    if op_type == "Conv":
        return 0
    if op_type == "ConvTranspose":
        return 1
    if op_type == "Gemm":
        return 0 if transposed else 1
    return rank - 1 if index == 1 else rank - 2


def _is_float_constant(value: ir.Value | None) -> bool:
    return (
        value is not None
        and value.const_value is not None
        and not value.is_graph_input()
        and value.const_value.dtype in (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)
    )
