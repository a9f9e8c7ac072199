"""QuantizeLinear and DequantizeLinear: what they say is remembered, and done only where something needs it."""

import numpy as np
import onnx_ir as ir

from edgebig.runtime.lower.builder import Builder, shape_of
from edgebig.runtime.lower.parameters import quantization_of
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Affine, Lookup, Quantization, Tensor, affine_table, quantized

_SCALES = "its scale or zero point is no constant of the whole tensor, in float32 and 8 bits"


def lower_quantize(b: Builder, node: ir.Node) -> None:
    """Lower a QuantizeLinear that no kernel has fused."""
    affine = quantization_of(node)
    if affine is None:
        raise Refusal(_SCALES)
    b.define(node.outputs[0], quantize(b.tensor(node.inputs[0]), affine, node.outputs[0]))


def lower_dequantize(b: Builder, node: ir.Node) -> None:
    """Lower a DequantizeLinear of activations."""
    affine = quantization_of(node)
    if affine is None:
        raise Refusal(_SCALES)
    b.define(node.outputs[0], dequantize(b.tensor(node.inputs[0]), affine, node.outputs[0]))


def quantize(x: Tensor, affine: Affine, value: ir.Value) -> Tensor:
    """The quantized tensor of a float one: itself, a table of another, or work to do."""
    shape_of(value)
    return requantized(x, affine, value.name or "")


def requantized(x: Tensor, affine: Affine, name: str = "") -> Tensor:
    """A float tensor in 8 bits: a table where it is a function of a quantized one."""
    source, name, shape = x.source, name or x.name, x.shape
    if not isinstance(source, Lookup):
        return Tensor(name, "u8", shape, source=Quantization(x, affine))
    table = quantized(source.table, affine)
    if np.array_equal(table, np.arange(256, dtype=np.uint8)):
        return source.of
    return Tensor(name, "u8", shape, source=Lookup(source.of, table))


def dequantize(q: Tensor, affine: Affine, value: ir.Value) -> Tensor:
    """The float tensor that a quantized one stands for."""
    name, shape = value.name or "", shape_of(value)
    return Tensor(name, "f32", shape, source=Lookup(q, affine_table(affine), affine))
