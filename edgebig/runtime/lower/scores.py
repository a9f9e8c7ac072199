"""Attention scores that are needed by themselves: product, scale, mask and softmax as separate steps."""

from math import prod

from edgebig.kernels.elementwise_float import FloatBinary
from edgebig.kernels.softmax import Softmax
from edgebig.runtime.lower.broadcast import broadcast
from edgebig.runtime.lower.builder import Builder
from edgebig.runtime.lower.products import multiply
from edgebig.runtime.lower.tensors import Scores, Tensor
from edgebig.runtime.plan import View, natural


def emit_scores(b: Builder, tensor: Tensor, source: Scores) -> View:
    """Compute what stands for attention scores, in natural order."""
    order = natural(len(tensor.shape))
    view = b.new("f32", tensor.shape, order, tensor.name)
    multiply(b, source.a, source.b, view, scale=source.scale)
    if source.mask is not None:
        spread = broadcast(tensor.shape, source.mask.shape, order)
        mask = b.view(source.mask, natural(len(source.mask.shape)))
        masked = b.new("f32", tensor.shape, order, tensor.name)
        b.emit(FloatBinary(kind="add", **spread.fields), {"a": view, "b": mask, "y": masked})
        view = masked
    if source.softmax:
        rows, columns = prod(tensor.shape[:-1]), tensor.shape[-1]
        probabilities = b.new("f32", tensor.shape, order, tensor.name)
        b.emit(Softmax(rows, columns, tasks=b.tasks(16 * view.size)), {"x": view, "y": probabilities})
        view = probabilities
    return view
