"""Products of quantized activations with quantized constant weights, written as QDQ or as one integer operator."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.graph.weights import WEIGHTED_OPS, output_axis
from edgebig.lint.quantized import STANDARD, QParams, dequantize_of, optional_input, qparams, stored_integers


@dataclass(frozen=True)
class OperatorForm:
    """Where the operands of an integer operator stand among its inputs.

    Attributes:
        twin: The float operator it computes.
        activation: Index of the activation; scale and zero point follow as given.
        scale: Index of the activation's scale; None where the result is not scaled.
        point: Index of the activation's zero point.
        weight: Index of the weight.
        weight_scale: Index of its scale; None likewise.
        weight_point: Index of its zero point.
    """

    twin: str
    activation: int
    scale: int | None
    point: int
    weight: int
    weight_scale: int | None
    weight_point: int


OPERATORS = {
    "QLinearConv": OperatorForm("Conv", 0, 1, 2, 3, 4, 5),
    "QLinearMatMul": OperatorForm("MatMul", 0, 1, 2, 3, 4, 5),
    "QGemm": OperatorForm("Gemm", 0, 1, 2, 3, 4, 5),
    "ConvInteger": OperatorForm("Conv", 0, None, 2, 1, None, 3),
    "MatMulInteger": OperatorForm("MatMul", 0, None, 2, 1, None, 3),
}


@dataclass(frozen=True, eq=False)
class Product:
    """A node that multiplies quantized activations with a quantized constant weight.

    Attributes:
        node: The node.
        twin: Conv, ConvTranspose, Gemm or MatMul.
        activation: The tensor of integers that goes in; None where it is float.
        activation_params: How they stand for numbers; None where the file does not say.
        weight: The stored weight: integers, or floats behind a QuantizeLinear.
        weight_params: How its integers stand for numbers; scale 1 where the file does not say.
        dequantize: The DequantizeLinear of the weight; None in integer operators.
        moved: Whether a Transpose or the like stands between the weight and the node.
        output_axis: The axis of the weight that counts output channels, where it is not `moved`.
    """

    node: ir.Node
    twin: str
    activation: ir.Value | None
    activation_params: QParams | None
    weight: ir.Value
    weight_params: QParams
    dequantize: ir.Node | None
    moved: bool
    output_axis: int

    @property
    def groups(self) -> int:
        """Groups of a convolution."""
        return int(self.node.attributes.get_int("group", 1))

    @property
    def is_depthwise(self) -> bool:
        """A convolution with one input channel per group and one output per input."""
        shape = tuple(self.weight.const_value.shape.numpy())  # type: ignore[union-attr]
        return self.twin == "Conv" and self.groups > 1 and shape[1] == 1 and shape[0] == self.groups

    def integers(self) -> NDArray | None:
        """The weight's integers as stored, as int32; None where it is stored in float or in 4 bits."""
        array = constant_array(self.weight)
        if array is None or array.dtype not in (np.int8, np.uint8):
            return None
        return array.astype(np.int32)

    def rows(self) -> NDArray | None:
        """The integers as a matrix [outputs, inputs], inputs in the order in which kernels add their products.

        Input channels are innermost, kernel positions outside; a grouped Conv's rows hold the inputs of their group.
        """
        array = self.integers()
        if array is None or self.moved or self.twin == "ConvTranspose":
            return None
        rows = np.moveaxis(array, self.output_axis, 0)
        if self.twin == "Conv":
            rows = np.moveaxis(rows, 1, -1)
        return np.ascontiguousarray(rows.reshape(len(rows), -1))


def products(nodes: Iterable[ir.Node]) -> Iterator[Product]:
    """All products among the nodes."""
    for node in nodes:
        found = _operator(node) if node.op_type in OPERATORS else _between_pairs(node)
        if found is not None:
            yield found


def _between_pairs(node: ir.Node) -> Product | None:
    if node.op_type not in WEIGHTED_OPS or node.domain not in STANDARD or len(node.inputs) < 2:
        return None
    for index in (1, 0) if node.op_type == "MatMul" else (1,):
        dequantize = dequantize_of(node.inputs[index])
        weight = None if dequantize is None else stored_integers(dequantize)
        params = None if dequantize is None else qparams(dequantize)
        if dequantize is None or weight is None or params is None or weight.const_value is None:
            continue
        rank = len(weight.const_value.shape)
        if rank < 2:
            continue
        other = dequantize_of(node.inputs[1 - index])
        transposed = node.attributes.get_int("transB", 0) != 0
        return Product(
            node=node,
            twin=node.op_type,
            activation=None if other is None else other.inputs[0],
            activation_params=None if other is None else qparams(other),
            weight=weight,
            weight_params=params,
            dequantize=dequantize,
            moved=node.inputs[index] is not dequantize.outputs[0],
            output_axis=output_axis(node.op_type, rank, index=index, transposed=transposed),
        )
    return None


def _operator(node: ir.Node) -> Product | None:
    form = OPERATORS[node.op_type]
    weight = optional_input(node, form.weight)
    if weight is None or weight.const_value is None or weight.is_graph_input() or len(weight.const_value.shape) < 2:
        return None
    rank = len(weight.const_value.shape)
    transposed = node.attributes.get_int("transB", 0) != 0
    axis = output_axis(form.twin, rank, index=1, transposed=transposed)
    activation = optional_input(node, form.activation)
    return Product(
        node=node,
        twin=form.twin,
        activation=activation,
        activation_params=_params(node, activation, form.scale, form.point, 0),
        weight=weight,
        weight_params=_params(node, weight, form.weight_scale, form.weight_point, axis)
        or QParams(np.ones((), np.float32), np.zeros((), np.int32), weight.dtype, axis, 0),
        dequantize=None,
        moved=False,
        output_axis=axis,
    )


def _params(node: ir.Node, value: ir.Value | None, scale: int | None, point: int, axis: int) -> QParams | None:
    scales = np.ones((), np.float32) if scale is None else constant_array(optional_input(node, scale))
    points = constant_array(optional_input(node, point))
    if scales is None:
        return None
    dtype = None if value is None else value.dtype
    zero_point = np.zeros(scales.shape, np.int32) if points is None else points.astype(np.int32)
    return QParams(scales.astype(np.float32), zero_point, dtype, axis, 0)
