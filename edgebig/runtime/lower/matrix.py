"""Gemm and MatMul with constant weights: the same kernel as a 1x1 convolution, a row per pixel."""

from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.runtime.lower.builder import Builder, shape_of
from edgebig.runtime.lower.convolution import Geometry, _emit_float, emit_integer
from edgebig.runtime.lower.follow import follow
from edgebig.runtime.lower.parameters import Weights, affine_input, weights_of
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.plan import natural


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
        if bias is None or bias.array.size not in (1, columns):
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
    shaped = Weights(weights.array, weights.scale, weights.zero_point, weights.axis)
    if integer is not None and weights.scale is not None:
        tensor, affine = integer
        emit_integer(b, tail, geometry, _rows(b, tensor), affine, shaped, bias)
    else:
        _emit_float(b, tail, geometry, _rows(b, x), shaped.real(), bias)


def _rows(b: Builder, tensor: Any) -> Any:
    return b.view(tensor, natural(len(tensor.shape)))
