"""The operators of quantized graphs in QOperator form: scales and zero points are inputs of the node."""

from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.runtime.lower.binary import emit_integer_binary
from edgebig.runtime.lower.builder import Builder, shape_of
from edgebig.runtime.lower.convolution import Geometry, emit_integer, geometry_of
from edgebig.runtime.lower.follow import Tail
from edgebig.runtime.lower.matrix import transposed
from edgebig.runtime.lower.parameters import Weights, affine_of
from edgebig.runtime.lower.pool import average_fields, emit_average
from edgebig.runtime.lower.quantization import dequantize, quantize
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Affine
from edgebig.runtime.lower.unary import evaluate_named
from edgebig.runtime.plan import natural


def lower_qlinear_conv(b: Builder, node: ir.Node) -> None:
    """QLinearConv(x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, bias)."""
    if node.attributes.get_int("channels_last", 0):
        raise Refusal("its channels are last")
    x = b.tensor(node.inputs[0])
    x_affine, y_affine = _affine(node, 1), _affine(node, 6)
    weights = _weights(node, 3)
    bias = _bias(node, 8)
    geometry = geometry_of(node, x.shape, weights.array.shape, shape_of(node.outputs[0]))
    tail = Tail(node.outputs[0], affine=y_affine)
    emit_integer(b, tail, geometry, b.view(x, geometry.order), x_affine, weights, bias)


def lower_qlinear_matmul(b: Builder, node: ir.Node) -> None:
    """QLinearMatMul(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point)."""
    weights = _weights(node, 3, axis=1)
    if weights.array.ndim != 2:
        raise Refusal("its second input is not a constant matrix")
    _matrix(b, node, _affine(node, 1), transposed(weights), None, _affine(node, 6))


def lower_qgemm(b: Builder, node: ir.Node) -> None:
    """com.microsoft QGemm(a, a_scale, a_zero_point, b, b_scale, b_zero_point, bias, y_scale, y_zero_point)."""
    if node.attributes.get_int("transA", 0) or node.attributes.get_float("alpha", 1.0) != 1.0:
        raise Refusal("its first input is transposed, or its alpha is not 1")
    turned = bool(node.attributes.get_int("transB", 0))
    weights = _weights(node, 3, axis=0 if turned else 1)
    output = _affine(node, 7) if len(node.inputs) > 7 and node.inputs[7] is not None else None
    _matrix(b, node, _affine(node, 1), weights if turned else transposed(weights), _bias(node, 6), output)


def lower_qlinear_binary(b: Builder, node: ir.Node) -> None:
    """com.microsoft QLinearAdd and QLinearMul(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, ...)."""
    pairs = [(b.tensor(node.inputs[i]), _affine(node, i + 1)) for i in (0, 3)]
    shape = shape_of(node.outputs[0])
    if pairs[0][0].shape != shape:
        pairs.reverse()
    if pairs[0][0].shape != shape:
        raise Refusal("both its inputs are repeated")
    tail = Tail(node.outputs[0], affine=_affine(node, 6))
    emit_integer_binary(b, node.op_type.removeprefix("QLinear"), tail, pairs[0], pairs[1])


def lower_qlinear_average(b: Builder, node: ir.Node) -> None:
    """com.microsoft QLinearGlobalAveragePool and QLinearAveragePool(x, x_scale, x_zero_point, y_scale, ...)."""
    if node.attributes.get_int("channels_last", 0):
        raise Refusal("its channels are last")
    x = b.tensor(node.inputs[0])
    fields, order = average_fields(node, x.shape, shape_of(node.outputs[0]))
    tail = Tail(node.outputs[0], affine=_affine(node, 3))
    emit_average(b, tail, x, _affine(node, 1), fields, order)


def lower_qlinear_unary(b: Builder, node: ir.Node) -> None:
    """com.microsoft QLinearSigmoid and QLinearLeakyRelu(x, x_scale, x_zero_point, y_scale, y_zero_point): a table."""
    value = node.outputs[0]
    real = dequantize(b.tensor(node.inputs[0]), _affine(node, 1), value)
    real.source = evaluate_named(node.op_type.removeprefix("QLinear"), node, real.source)
    b.define(value, quantize(real, _affine(node, 3), value))


def _matrix(
    b: Builder, node: ir.Node, x_affine: Affine, weights: Weights, bias: Weights | None, output: Affine | None
) -> None:
    x = b.tensor(node.inputs[0])
    columns, inner = weights.array.shape
    if x.shape[-1:] != (inner,):
        raise Refusal("its input is a vector")
    rank = len(shape_of(node.outputs[0]))
    rows = prod(x.shape[:-1])
    geometry = Geometry(1, rows, 1, inner, columns, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, natural(rank))
    tail = Tail(node.outputs[0], affine=output)
    emit_integer(b, tail, geometry, b.view(x, natural(len(x.shape))), x_affine, weights, bias)


def _affine(node: ir.Node, index: int) -> Affine:
    point = node.inputs[index + 1] if len(node.inputs) > index + 1 else None
    affine = affine_of(node.inputs[index], point)
    if affine is None:
        raise Refusal("a scale or zero point is no constant of the whole tensor")
    return affine


def _weights(node: ir.Node, index: int, axis: int = 0) -> Weights:
    array, scale, points = (constant_array(node.inputs[i]) for i in (index, index + 1, index + 2))
    if array is None or scale is None or points is None or array.dtype not in (np.int8, np.uint8):
        raise Refusal("its weights are not constant")
    if scale.ndim > 1:
        raise Refusal("its weights have a scale for each of several axes")
    return Weights(array, scale.reshape(-1), _points(points, scale.size), axis)


def _points(points: NDArray, count: int) -> NDArray:
    return np.broadcast_to(points.reshape(-1).astype(np.int32), (count,)).copy()


def _bias(node: ir.Node, index: int) -> Weights | None:
    """An int32 bias in units of the accumulators."""
    if len(node.inputs) <= index or node.inputs[index] is None:
        return None
    array = constant_array(node.inputs[index])
    if array is None:
        raise Refusal("its bias is not constant")
    return Weights(array.reshape(-1).astype(np.int32), None, None, 0)
