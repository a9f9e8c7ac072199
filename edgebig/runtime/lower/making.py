"""How tensors that lie nowhere yet come to lie somewhere, by what they are made of."""

from collections.abc import Mapping
from math import prod

from edgebig.kernels.convert import Dequantize, Quantize
from edgebig.kernels.convert_layout import DequantizeTranspose, QuantizeTranspose
from edgebig.kernels.convert_transpose import Copy
from edgebig.kernels.elementwise_float import FloatBinary
from edgebig.kernels.table import Table, TableToFloat
from edgebig.runtime.lower.builder import NHWC, Builder, Maker
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.scores import emit_scores
from edgebig.runtime.lower.tensors import (
    Lookup,
    Parameter,
    Quantization,
    Reshaped,
    Scores,
    Sliced,
    Sum,
    Tensor,
    Transposed,
)
from edgebig.runtime.plan import ELEMENT_BYTES, Order, Part, View, lying, natural


def make_transposed(b: Builder, tensor: Tensor, source: Transposed, order: Order | None) -> View:
    """The same memory, its axes called otherwise."""
    inner = None if order is None else tuple(source.permutation[axis] for axis in order)
    view = b.view(source.of, inner)
    lies = tuple(source.permutation.index(axis) for axis in view.order)
    return View(view.buffer, tensor.element, tensor.shape, lies)


def make_reshaped(b: Builder, tensor: Tensor, source: Reshaped, order: Order | None) -> View:
    """The same memory, which must lie as ONNX stores it."""
    view = b.view(source.of, natural(len(source.of.shape)))
    return View(view.buffer, tensor.element, tensor.shape, natural(len(tensor.shape)))


def make_slice(b: Builder, tensor: Tensor, source: Sliced, order: Order | None) -> View:
    """A copy of neighbouring entries of one axis."""
    x = b.nearest(source.of, order)
    made = b.new(tensor.element, tensor.shape, x.order, tensor.name)
    place = x.order.index(source.axis)
    inner = prod(x.memory_shape[place + 1 :]) * ELEMENT_BYTES[x.element]
    rows, whole, part = prod(x.memory_shape[:place]), x.shape[source.axis] * inner, made.shape[source.axis] * inner
    b.emit(Copy(rows, part, whole, part), {"x": Part(x.buffer, source.start * inner), "y": made})
    return made


def make_sum(b: Builder, tensor: Tensor, source: Sum, order: Order | None) -> View:
    """The sum of two tensors that no normalisation has taken up."""
    x = b.nearest(source.a, order)
    other = b.view(source.b, x.order)
    made = b.new("f32", tensor.shape, x.order, tensor.name)
    b.emit(FloatBinary(kind="add", rows=1, columns=x.size), {"a": x, "b": other, "y": made})
    return made


def make_scores(b: Builder, tensor: Tensor, source: Scores, order: Order | None) -> View:
    """Attention scores that something else than the block's second product needs."""
    return emit_scores(b, tensor, source)


def make_parameter(b: Builder, tensor: Tensor, source: Parameter, order: Order | None) -> View:
    """A scale or zero point found at run time, by itself."""
    if source.factor is not None:
        raise Refusal(f"{tensor.name!r} is not computed yet")
    made = b.new(tensor.element, tensor.shape, natural(len(tensor.shape)), tensor.name)
    size = ELEMENT_BYTES[tensor.element]
    b.emit(Copy(1, size, size, size), {"x": Part(source.parameters.buffer, source.offset), "y": made})
    return made


def make_lookup(b: Builder, tensor: Tensor, source: Lookup, order: Order | None) -> View:
    """A function of a quantized tensor: a table, or where it is nothing but a scale, the dequantization."""
    x = b.nearest(source.of, order)
    if source.affine is None:
        made = b.new(tensor.element, tensor.shape, x.order, tensor.name)
        kernel = Table if tensor.element == "u8" else TableToFloat
        b.emit(kernel(x.size), {"x": x, "table": source.table, "y": made})
        return made
    scale, zero_point = float(source.affine.scale), source.affine.zero_point
    if _is_nhwc(x) and order is not None and lying(tensor.shape, order) == lying(tensor.shape, natural(4)):
        batch, channels, height, width = tensor.shape
        made = b.new("f32", tensor.shape, natural(4), tensor.name)
        b.emit(DequantizeTranspose(batch, channels, height, width, scale, zero_point), {"x": x, "y": made})
        return made
    made = b.new("f32", tensor.shape, x.order, tensor.name)
    b.emit(Dequantize(x.size, scale, zero_point), {"x": x, "y": made})
    return made


def make_quantized(b: Builder, tensor: Tensor, source: Quantization, order: Order | None) -> View:
    """A float tensor in 8 bits; brought into NHWC on the way where that is wanted."""
    x = b.nearest(source.of, order)
    scale, zero_point = float(source.affine.scale), source.affine.zero_point
    if order == NHWC and len(tensor.shape) == 4 and x.key == lying(x.shape, natural(4)) != lying(x.shape, NHWC):
        batch, channels, height, width = tensor.shape
        made = b.new("u8", tensor.shape, NHWC, tensor.name)
        step = QuantizeTranspose(batch, channels, height, width, scale, zero_point, low=source.low, high=source.high)
        b.emit(step, {"x": x, "y": made})
        return made
    made = b.new("u8", tensor.shape, x.order, tensor.name)
    b.emit(Quantize(x.size, scale, zero_point, low=source.low, high=source.high), {"x": x, "y": made})
    return made


MAKERS: Mapping[type, Maker] = {
    Lookup: make_lookup,
    Parameter: make_parameter,
    Quantization: make_quantized,
    Reshaped: make_reshaped,
    Scores: make_scores,
    Sliced: make_slice,
    Sum: make_sum,
    Transposed: make_transposed,
}


def _is_nhwc(view: View) -> bool:
    return len(view.shape) == 4 and view.key == lying(view.shape, NHWC) != lying(view.shape, natural(4))
