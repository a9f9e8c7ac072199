"""Quantization at run time: what `quantize_dynamic` writes becomes one step per DynamicQuantizeLinear and per product.

A product is a chain of nodes: MatMulInteger or ConvInteger, Cast to float, Mul by scale * weight scale (itself a Mul),
Add of a bias. It is found from the product on; scale and zero point never leave the memory where the first step has put
them.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.kernels.dynamic import DynamicQuantize
from edgebig.runtime.lower.binary import lower_binary
from edgebig.runtime.lower.builder import Builder, Given, shape_of
from edgebig.runtime.lower.convolution import geometry_of
from edgebig.runtime.lower.dynamic_convolution import emit_dynamic_conv
from edgebig.runtime.lower.follow import Tail, follow, only_consumer
from edgebig.runtime.lower.matrix import emit_to_float, parameters_of, transposed
from edgebig.runtime.lower.parameters import SIGNED_OFFSET, Weights
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Affine, Parameter, Tensor
from edgebig.runtime.plan import View, natural


def lower_dynamic_quantize(b: Builder, node: ir.Node) -> None:
    """Lower a DynamicQuantizeLinear."""
    quantized, scale, zero_point = node.outputs
    q, parameters = _quantize(b, b.tensor(node.inputs[0]), quantized.name or "")
    b.define(quantized, q)
    b.define(scale, Tensor(scale.name or "", "f32", (), source=Parameter(q, parameters, 0)))
    b.define(zero_point, Tensor(zero_point.name or "", "u8", (), source=Parameter(q, parameters, 4)))


def lower_multiply(b: Builder, node: ir.Node) -> None:
    """Lower a Mul; that of a scale found at run time is left to the product that it is for."""
    found = _scale_of(b, node.outputs[0])
    if found is None:
        lower_binary(b, node)
        return
    value = node.outputs[0]
    b.define(value, Tensor(value.name or "", "f32", shape_of(value), source=found))


def lower_cast(b: Builder, node: ir.Node) -> None:
    """Lower a Cast to the type its input has; other ones are parts of products."""
    if node.inputs[0] is None or node.inputs[0].dtype != node.outputs[0].dtype:
        raise Refusal("it changes the type of numbers, and is no part of an integer product")
    b.define(node.outputs[0], b.tensor(node.inputs[0]))


def lower_matmul_integer(b: Builder, node: ir.Node) -> None:
    """Lower MatMulInteger(a, b, a_zero_point, b_zero_point) with what makes its sums real numbers.

    Raises:
        Refusal: b is not constant, or the nodes behind it are other ones.
    """
    weights = _weights(node, 1, 3)
    x, parameters, scale, value = _real_product(b, node)
    _emit(b, value, x, parameters, _scaled(weights, scale), None)


def lower_conv_integer(b: Builder, node: ir.Node) -> None:
    """Lower ConvInteger(x, w, x_zero_point, w_zero_point) with what makes its sums real numbers.

    Raises:
        Refusal: w is not constant, or the nodes behind it are other ones.
    """
    array = constant_array(node.inputs[1])
    if array is None or array.dtype not in (np.int8, np.uint8):
        raise Refusal("its weights are not constant")
    weights = Weights(array, None, _points(node, 3, array.shape[0]), 0)
    x, parameters, scale, value = _real_product(b, node)
    geometry = geometry_of(node, x.shape, array.shape, shape_of(node.outputs[0]))
    tail = follow(b, value, bias_axis=1, quantize=False)
    _without_bounds(tail)
    b.cover(tail.nodes)
    emit_dynamic_conv(b, tail, geometry, b.view(x, geometry.order), parameters, _scaled(weights, scale))


def _real_product(b: Builder, node: ir.Node) -> tuple[Tensor, Given, NDArray | None, ir.Value]:
    """The chain behind an integer product: its input, where scale and zero point lie, a constant factor, the result."""
    cast = only_consumer(b, node.outputs[0])
    if cast is None or cast.op_type != "Cast" or cast.outputs[0].dtype != ir.DataType.FLOAT:
        raise Refusal("its sums are not cast to float32 next")
    multiply = only_consumer(b, cast.outputs[0])
    if multiply is None or multiply.op_type != "Mul":
        raise Refusal("its sums are not multiplied with a scale next")
    factor = multiply.inputs[1] if multiply.inputs[0] is cast.outputs[0] else multiply.inputs[0]
    x = b.tensor(node.inputs[0])
    parameters, scale = _factors(b, x, factor, node.inputs[2] if len(node.inputs) > 2 else None, node.inputs[0])
    b.cover([cast, multiply])
    return x, parameters, scale, multiply.outputs[0]


def lower_dynamic_matmul(b: Builder, node: ir.Node) -> None:
    """Lower com.microsoft DynamicQuantizeMatMul(a, b, b_scale, b_zero_point, bias)."""
    weights = _scaled(_weights(node, 1, 3), constant_array(node.inputs[2]))
    q, parameters = _quantize(b, b.tensor(node.inputs[0]), node.inputs[0].name if node.inputs[0] is not None else "")
    _emit(b, node.outputs[0], q, parameters, weights, _bias(node, 4))


def lower_matmul_integer_to_float(b: Builder, node: ir.Node) -> None:
    """Lower com.microsoft MatMulIntegerToFloat(a, b, a_scale, b_scale, a_zero_point, b_zero_point, bias)."""
    weights = _scaled(_weights(node, 1, 5), constant_array(node.inputs[3]))
    x = b.tensor(node.inputs[0])
    point = node.inputs[4] if len(node.inputs) > 4 else None
    parameters, scale = _factors(b, x, node.inputs[2], point, node.inputs[0])
    if scale is not None:
        weights = _scaled(weights, weights.scales(weights.array.shape[0]) * scale)
    _emit(b, node.outputs[0], x, parameters, weights, _bias(node, 6))


def _quantize(b: Builder, x: Tensor, name: str | None) -> tuple[Tensor, View]:
    """A tensor quantized at run time, and where its scale and zero point lie."""
    view = b.view(x)
    parameters = b.new("f32", (2,), natural(1), f"{name}: scale and zero point")
    made = b.new("u8", x.shape, view.order, name or "")
    step = DynamicQuantize(view.size, tasks=b.tasks(2 * view.size))
    b.emit(step, {"x": view, "parameters": parameters, "y": made}, writes=("parameters", "y"))
    return Tensor(name or "", "u8", x.shape, [made]), parameters


def _scale_of(b: Builder, value: ir.Value | None) -> Parameter | None:
    """What a value is where it is a scale found at run time, or a constant times such a scale; None otherwise."""
    known = b.tensors.get(value) if value is not None else None
    if known is not None:
        return known.source if isinstance(known.source, Parameter) and known.source.offset == 0 else None
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "Mul":
        return None
    for mine, other in (node.inputs, reversed(node.inputs)):
        tensor = b.tensors.get(mine) if mine is not None else None
        source, factor = tensor.source if tensor is not None else None, constant_array(other)
        if isinstance(source, Parameter) and source.offset == 0 and source.factor is None and factor is not None:
            return Parameter(source.of, source.parameters, 0, factor) if factor.dtype == np.float32 else None
    return None


def _factors(
    b: Builder, x: Tensor, factor: ir.Value | None, zero_point: ir.Value | None, given: ir.Value | None
) -> tuple[Given, NDArray | None]:
    """Scale and zero point of a product's first operand: where they lie, and a constant that the scale lacks."""
    point = b.tensors.get(zero_point) if zero_point is not None else None
    scale = constant_array(factor)
    if point is None and scale is not None:
        signed = given is not None and given.dtype == ir.DataType.INT8
        array = np.zeros(1, np.int32) if zero_point is None else constant_array(zero_point)
        if array is None or array.size != 1:
            raise Refusal("the zero point of its first input is not constant for the whole tensor")
        held = int(array.reshape(-1)[0]) + (SIGNED_OFFSET if signed else 0)
        return parameters_of(Affine(np.float32(1), held, signed)), scale
    known = _scale_of(b, factor)
    source = point.source if point is not None else None
    if known is None or not isinstance(source, Parameter) or source.of is not x or known.of is not x:
        raise Refusal("its scale or zero point is neither constant nor that of its first input")
    return known.parameters, known.factor


def _emit(b: Builder, value: ir.Value, x: Tensor, parameters: Given, weights: Weights, bias: NDArray | None) -> None:
    columns, inner = weights.array.shape
    if len(x.shape) < 2 or x.shape[-1] != inner:
        raise Refusal("its first input is a vector")
    tail = follow(b, value, bias_axis=-1 if bias is None else None, quantize=False)
    _without_bounds(tail)
    b.cover(tail.nodes)
    added = tail.bias if bias is None else bias
    if added is not None and added.size != columns:
        raise Refusal("its bias does not have a number for every column")
    emit_to_float(b, tail.value, b.view(x, natural(len(x.shape))), parameters, weights, added)


def _without_bounds(tail: Tail) -> None:
    """Leave a Relu or Clip to what comes next."""
    if tail.nodes and tail.nodes[-1].op_type in ("Relu", "Clip"):
        given = tail.nodes.pop().inputs[0]
        tail.value = tail.value if given is None else given


def _weights(node: ir.Node, index: int, point_index: int) -> Weights:
    """Constant weights [K, N] as [N, K], without a scale yet."""
    array = constant_array(node.inputs[index])
    if array is None or array.ndim != 2 or array.dtype not in (np.int8, np.uint8):
        raise Refusal("its second input is not a constant matrix of 8 bits")
    return transposed(Weights(array, None, _points(node, point_index, array.shape[1]), 1))


def _points(node: ir.Node, index: int, count: int) -> NDArray:
    """Zero points of weights: int32, one for each of `count` columns."""
    given = node.inputs[index] if len(node.inputs) > index else None
    points = np.zeros(1, np.int32) if given is None else constant_array(given)
    if points is None or points.size not in (1, count):
        raise Refusal("the zero point of its weights is not constant, one or one per column")
    return np.broadcast_to(points.reshape(-1).astype(np.int32), (count,)).copy()


def _scaled(weights: Weights, scale: NDArray | None) -> Weights:
    columns = weights.array.shape[0]
    if scale is None or scale.dtype != np.float32 or scale.size not in (1, columns):
        raise Refusal("the scale of its weights is not constant, one or one per column")
    return Weights(weights.array, np.broadcast_to(scale.reshape(-1), (columns,)), weights.zero_point, 0)


def _bias(node: ir.Node, index: int) -> NDArray | None:
    if len(node.inputs) <= index or node.inputs[index] is None:
        return None
    array = constant_array(node.inputs[index])
    if array is None or array.dtype != np.float32:
        raise Refusal("its bias is not constant")
    return array.reshape(-1)
