"""The weight of a node as the file stores it: float, or quantized (by DequantizeLinear, or in an integer operator)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.cost import WEIGHT_INPUTS
from edgebig.graph.edit import constant_array
from edgebig.graph.weights import WEIGHTED_OPS, as_weighted, output_axis

# Integer operators, and the float operator whose weights lie as theirs do.
FLOAT_TWINS = {
    "QLinearConv": "Conv",
    "ConvInteger": "Conv",
    "QGemm": "Gemm",
    "QLinearMatMul": "MatMul",
    "MatMulInteger": "MatMul",
    "MatMulIntegerToFloat": "MatMul",
    "DynamicQuantizeMatMul": "MatMul",
}
ZERO_POINT_INPUTS = {"QLinearConv": 5, "QLinearMatMul": 5, "QGemm": 5, "ConvInteger": 3, "MatMulInteger": 3}
# Parts of a weight of about this many elements are looked at together.
PART = 1 << 24


@dataclass(frozen=True)
class StoredWeight:
    """A weight as it lies in the file.

    Attributes:
        value: The stored tensor's value.
        output_axis: Its axis that counts output channels.
        convolution: Whether kernel positions follow the channels.
        zero_point: What stands for zero: None for 0, else an array that broadcasts against the tensor.
    """

    value: ir.Value
    output_axis: int
    convolution: bool
    zero_point: NDArray | None

    def nonzero_parts(self, rows: int) -> Iterator[NDArray[np.bool_]]:
        """Where the weight is not zero, as matrices [outputs, inputs], a multiple of `rows` outputs at a time.

        Inputs run with the input channel innermost. Only one part is in memory at a time.
        """
        array = constant_array(self.value)
        if array is None or array.size == 0:
            return
        outputs = array.shape[self.output_axis]
        step = max(PART // max(array.size // outputs, 1) // rows, 1) * rows
        for start in range(0, outputs, step):
            part = [slice(None)] * array.ndim
            part[self.output_axis] = slice(start, start + step)
            yield self._matrix(self._nonzero(array, tuple(part)))

    def _nonzero(self, array: NDArray, part: tuple[slice, ...]) -> NDArray[np.bool_]:
        values = array[part]
        if values.dtype.kind not in "fiu":
            values = values.astype(np.float32)  # bfloat16, 4-bit integers
        if self.zero_point is None:
            return values != 0
        points = np.broadcast_to(self.zero_point, array.shape)[part]
        return values.astype(np.int32) != points.astype(np.int32)

    def _matrix(self, array: NDArray[np.bool_]) -> NDArray[np.bool_]:
        rows = np.moveaxis(array, self.output_axis, 0)
        if self.convolution:
            rows = np.moveaxis(rows, 1, -1)
        return rows.reshape(rows.shape[0], -1)


def stored_weight(node: ir.Node) -> StoredWeight | None:
    """The weight of a Conv, ConvTranspose, Gemm, MatMul, or of their quantized forms; None for other nodes."""
    weighted = as_weighted(node)
    if weighted is not None:
        return StoredWeight(weighted.weight, weighted.output_axis, "Conv" in node.op_type, None)
    twin = FLOAT_TWINS.get(node.op_type, node.op_type)
    if twin not in WEIGHTED_OPS:
        return None
    for index in (1, 0) if twin == "MatMul" else (1,):
        found = _quantized(node, twin, index)
        if found is not None:
            return found
    return None


def _quantized(node: ir.Node, twin: str, index: int) -> StoredWeight | None:
    """The integer weight at operand `index`: an input of an integer operator, or what a DequantizeLinear reads."""
    place = WEIGHT_INPUTS.get(node.op_type, 1) if index == 1 else 0
    value = node.inputs[place] if place < len(node.inputs) else None
    axis: int | None = None
    if node.op_type in FLOAT_TWINS:
        points = _optional(node, ZERO_POINT_INPUTS.get(node.op_type)) if index == 1 else None
    else:
        dequantize = value.producer() if value is not None else None
        if dequantize is None or dequantize.op_type != "DequantizeLinear":
            return None
        value, points = dequantize.inputs[0], _optional(dequantize, 2)
        axis = int(dequantize.attributes.get_int("axis", 1))
    if value is None or value.const_value is None or value.is_graph_input() or len(value.const_value.shape) < 2:
        return None
    rank = len(value.const_value.shape)
    output = output_axis(twin, rank, index=index, transposed=node.attributes.get_int("transB", 0) != 0)
    zero_point = constant_array(points)
    if zero_point is None or not zero_point.astype(np.int32).any() or zero_point.ndim > 1:
        return StoredWeight(value, output, "Conv" in twin, None)
    shape = [1] * rank
    if zero_point.size > 1:
        shape[output if axis is None else axis] = zero_point.size
    return StoredWeight(value, output, "Conv" in twin, zero_point.reshape(shape))


def _optional(node: ir.Node, index: int | None) -> ir.Value | None:
    return node.inputs[index] if index is not None and index < len(node.inputs) else None
