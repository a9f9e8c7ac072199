"""Gemm and MatMul with constant weights: the same kernel as a 1x1 convolution, a row per pixel."""

from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.kernels import dots, sparse
from edgebig.kernels.dynamic import DynamicMatMul
from edgebig.kernels.float_unary import PLAIN
from edgebig.runtime.lower.builder import Builder, Given, shape_of
from edgebig.runtime.lower.convolution import Geometry, emit_float, emit_integer, without_zero_points
from edgebig.runtime.lower.follow import Tail, follow, only_consumer
from edgebig.runtime.lower.parameters import Weights, affine_input, signed, weights_of
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Affine, Tensor
from edgebig.runtime.lower.unary import kernel_of
from edgebig.runtime.plan import View, natural

# Activations that the kernel of a float result applies by itself.
ACTIVATIONS = frozenset({"Erf", "Gelu", "HardSwish", "Relu", "Sigmoid", "Softplus", "Tanh"})


def lower_gemm(b: Builder, node: ir.Node) -> None:
    """Lower a Gemm whose second input is constant."""
    if node.attributes.get_int("transA", 0):
        raise Refusal("its first input is transposed")
    weights = weights_of(node.inputs[1])
    if weights is None:
        raise Refusal("its weights are not constant")
    if not node.attributes.get_int("transB", 0):
        weights = transposed(weights)
    alpha, beta = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
    if alpha != 1.0:
        raise Refusal("its alpha is not 1")
    bias = None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = weights_of(node.inputs[2])
        columns = weights.array.shape[0]
        if bias is None or (bias.array.size != 1 and bias.array.shape not in ((columns,), (1, columns))):
            raise Refusal("its bias is not a constant vector")
        if bias.array.size != columns or beta != 1.0:
            bias = Weights(np.broadcast_to(bias.real().reshape(-1) * np.float32(beta or 0), (columns,)).copy())
        else:
            bias = Weights(bias.array.reshape(-1), bias.scale, bias.zero_point, 0)
    _emit(b, node, weights, bias)


def lower_matmul(b: Builder, node: ir.Node) -> None:
    """Lower a MatMul whose second input is a constant matrix."""
    weights = weights_of(node.inputs[1])
    if weights is None or weights.array.ndim != 2:
        raise Refusal("its second input is not a constant matrix")
    _emit(b, node, transposed(weights), None)


def has_constant_weights(node: ir.Node) -> bool:
    """Whether the second input of a MatMul is constant, quantized or not."""
    return constant_array(node.inputs[1]) is not None or weights_of(node.inputs[1]) is not None


def transposed(weights: Weights) -> Weights:
    """Weights [K, N] as [N, K]."""
    return Weights(weights.array.T, weights.scale, weights.zero_point, 1 - weights.axis)


def _emit(b: Builder, node: ir.Node, weights: Weights, bias: Weights | None) -> None:
    x = b.tensor(node.inputs[0])
    columns, inner = weights.array.shape
    if not x.shape or x.shape[-1] != inner:
        raise Refusal("its input is a vector")
    tail = follow(b, node.outputs[0], bias_axis=-1 if bias is None else None)
    if tail.bias is not None:
        bias = Weights(tail.bias)
    rank = len(shape_of(node.outputs[0]))
    geometry = Geometry(
        1, prod(x.shape[:-1]), 1, inner, columns, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, natural(rank)
    )
    b.cover(tail.nodes)
    integer = affine_input(x)
    if integer is None or weights.scale is None:
        emit_float(b, tail, geometry, _rows(b, x), weights.real(), bias)
        return
    tensor, affine = integer
    dense = not sparse.pays(sparse.density(weights.array[..., None, None]))
    if dense and tail.affine is None and np.isinf(tail.low) and np.isinf(tail.high):
        _to_float(b, tail, _rows(b, tensor), affine, weights, bias)
    else:
        emit_integer(b, tail, geometry, _rows(b, tensor), affine, weights, bias)


def _to_float(b: Builder, tail: Tail, x: View, affine: Affine, weights: Weights, bias: Weights | None) -> None:
    """A product whose result stays float, of an input with a constant scale."""
    real = None if bias is None else _real(bias, affine.scale * weights.scales(weights.array.shape[0]))
    emit_to_float(b, tail.value, x, parameters_of(affine), weights, real)


def parameters_of(affine: Affine) -> NDArray:
    """A constant scale and zero point as `DynamicMatMul` reads them."""
    made = np.zeros(1, [("scale", np.float32), ("zero_point", np.int32)])
    made["scale"], made["zero_point"] = affine.scale, affine.zero_point
    return made


def emit_to_float(
    b: Builder, value: ir.Value, x: View, parameters: Given, weights: Weights, bias: NDArray | None
) -> None:
    """Emit an integer product whose result stays float: bias and activation are applied in float, as onnxruntime does.

    Args:
        b: The lowering.
        value: The product with its bias; an activation that follows is applied as well.
        x: Rows of quantized values.
        parameters: Their scale and zero point: a constant, or where an earlier step puts them.
        weights: [columns, inner], scales along axis 0.
        bias: float32 [columns], or None.
    """
    activation, value = activation_behind(b, value)
    array, points = signed(weights, 0)
    array, points = without_zero_points(array[..., None, None], points)
    dot = dots.best(array.astype(np.int32) - points.reshape(-1, 1, 1, 1)).name
    columns, inner = array.shape[:2]
    step = DynamicMatMul(dot, x.size // inner, inner, columns, activation=activation, tasks=b.tasks(x.size * columns))
    packed = b.constants(
        lambda: step.constants(array[..., 0, 0], bias, weights.scales(columns), points),
        ("weights", "column_sums", "bias", "multiplier"),
    )
    made = b.result(value, "f32")
    b.emit(step, {"x": x, "parameters": parameters, "y": made, **packed})


def activation_behind(b: Builder, value: ir.Value) -> tuple[str, ir.Value]:
    """The function that a kernel of a real result applies at last, and the value it then gives."""
    node = only_consumer(b, value)
    if node is None or node.op_type not in ACTIVATIONS:
        return "", value
    kind, fields = kernel_of(node)
    if kind not in PLAIN or fields:
        return "", value
    b.cover([node])
    return kind, node.outputs[0]


def _real(bias: Weights, scales: NDArray) -> NDArray:
    """A bias in float32; an int32 one without a scale is in units of the accumulators."""
    return bias.real() if bias.array.dtype != np.int32 or bias.scale is not None else bias.array * scales


def _rows(b: Builder, tensor: Tensor) -> View:
    return b.view(tensor, natural(len(tensor.shape)))
