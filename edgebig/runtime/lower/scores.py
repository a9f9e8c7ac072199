"""Attention scores that are needed by themselves: product, scale, mask and softmax as separate steps."""

from math import prod

import numpy as np

from edgebig.kernels.convert import Dequantize, Quantize
from edgebig.kernels.elementwise_float import FloatBinary
from edgebig.kernels.softmax import Softmax
from edgebig.runtime.lower.broadcast import broadcast
from edgebig.runtime.lower.builder import Builder
from edgebig.runtime.lower.products import multiply
from edgebig.runtime.lower.tensors import Affine, Scores, Tensor
from edgebig.runtime.plan import View, natural


def emit_scores(b: Builder, tensor: Tensor, source: Scores) -> View:
    """Compute what stands for attention scores, in natural order."""
    order = natural(len(tensor.shape))
    view = b.new("f32", tensor.shape, order, tensor.name)
    multiply(b, source.a, source.b, view, scale=source.scale)
    view = _rounded(b, view, source.product)
    if source.factor != 1:
        spread = broadcast(tensor.shape, (1,), order)
        scaled = b.new("f32", tensor.shape, order, tensor.name)
        factor = np.array([source.factor], np.float32)
        b.emit(FloatBinary(kind="multiply", **spread.fields), {"a": view, "b": factor, "y": scaled})
        view = scaled
    view = _rounded(b, view, source.scaled)
    if source.mask is not None:
        spread = broadcast(tensor.shape, source.mask.shape, order)
        mask = b.view(source.mask, natural(len(source.mask.shape)))
        masked = b.new("f32", tensor.shape, order, tensor.name)
        b.emit(FloatBinary(kind="add", **spread.fields), {"a": view, "b": mask, "y": masked})
        view = masked
    view = _rounded(b, view, source.masked)
    if source.softmax:
        rows, columns = prod(tensor.shape[:-1]), tensor.shape[-1]
        probabilities = b.new("f32", tensor.shape, order, tensor.name)
        b.emit(Softmax(rows, columns, tasks=b.tasks(16 * view.size)), {"x": view, "y": probabilities})
        view = probabilities
    return _rounded(b, view, source.probabilities)


def _rounded(b: Builder, view: View, affine: Affine | None) -> View:
    """To 8 bits and back, where the graph says so."""
    if affine is None:
        return view
    scale, zero_point = float(affine.scale), affine.zero_point
    steps = b.new("u8", view.shape, view.order, view.buffer.label)
    b.emit(Quantize(view.size, scale, zero_point), {"x": view, "y": steps})
    made = b.new("f32", view.shape, view.order, view.buffer.label)
    b.emit(Dequantize(view.size, scale, zero_point), {"x": steps, "y": made})
    return made
