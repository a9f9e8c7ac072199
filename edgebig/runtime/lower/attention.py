"""Attention blocks: the product of queries and keys, scale, mask, softmax and the product with values in one step."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.kernels.attention import Attention
from edgebig.kernels.attention_scores import Rounding
from edgebig.kernels.batched_tile import Layout
from edgebig.kernels.epilogue import Requantize
from edgebig.kernels.softmax import Softmax
from edgebig.runtime.lower.builder import Builder, shape_of
from edgebig.runtime.lower.follow import follow, only_consumer
from edgebig.runtime.lower.matrix import has_constant_weights, lower_matmul
from edgebig.runtime.lower.parameters import affine_input, weights_of
from edgebig.runtime.lower.probe import opset_of
from edgebig.runtime.lower.products import emit_product
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Affine, Lookup, Quantization, Scores, Tensor
from edgebig.runtime.plan import Order, View, natural

_TOWARDS_SOFTMAX = frozenset({"Add", "DequantizeLinear", "Div", "Mul", "QuantizeLinear"})


def lower_product(b: Builder, node: ir.Node) -> None:
    """Lower a MatMul: by constant weights, the second product of attention, or a product of two tensors."""
    if has_constant_weights(node):
        lower_matmul(b, node)
        return
    left, right = b.tensor(node.inputs[0]), b.tensor(node.inputs[1])
    scores = scores_behind(left)
    if scores is not None and scores.softmax:
        _attention(b, node, scores, right)
        return
    value = node.outputs[0]
    if _fits(left, right):
        b.define(value, Tensor(value.name or "", "f32", shape_of(value), source=Scores(left, right)))
        return
    emit_product(b, value, left, right)


def scaled_scores(b: Builder, node: ir.Node) -> bool:
    """Take a scale or mask of attention scores into them; whether the node was one."""
    left = _scores_of(b, node.inputs[0])
    other = node.inputs[1]
    if left is None and node.op_type in ("Add", "Mul"):
        left, other = _scores_of(b, node.inputs[1]), node.inputs[0]
    if left is None or left.softmax or left.mask is not None or (left.product and not _softmax_follows(b, node)):
        return False
    constant = constant_array(other)
    found = None
    if node.op_type in ("Mul", "Div"):
        number = _number(other)
        found = None if not number else left.times(number if node.op_type == "Mul" else 1 / number)
    elif node.op_type == "Add" and left.masked is None and (other in b.tensors or _is_float(constant)):
        mask = b.tensor(other)
        found = replace(left, mask=mask) if _spreads(mask.shape, shape_of(node.outputs[0])) else None
    if found is None:
        return False
    value = node.outputs[0]
    b.define(value, Tensor(value.name or "", "f32", shape_of(value), source=found))
    return True


def _is_float(constant: NDArray | None) -> bool:
    return constant is not None and constant.dtype == np.float32


def _number(value: ir.Value | None) -> float | None:
    """A constant of one number, dequantized where it is stored quantized."""
    weights = weights_of(value)
    return float(weights.real().reshape(-1)[0]) if weights is not None and weights.array.size == 1 else None


def _softmax_follows(b: Builder, node: ir.Node) -> bool:
    """Whether a softmax takes what a node gives, with nothing but scale, mask and roundings in between."""
    following = only_consumer(b, node.outputs[0])
    while following is not None and following.op_type in _TOWARDS_SOFTMAX:
        following = only_consumer(b, following.outputs[0])
    return following is not None and following.op_type == "Softmax"


def lower_softmax(b: Builder, node: ir.Node) -> None:
    """Lower a Softmax or LogSoftmax over the last axis."""
    value = node.outputs[0]
    shape = shape_of(value)
    axis = node.attributes.get_int("axis", -1 if opset_of(node) >= 13 else 1)
    if axis % len(shape) != len(shape) - 1:
        raise Refusal("it is not over the last axis")
    x = b.tensor(node.inputs[0])
    scores = scores_behind(x)
    if scores is not None and not scores.softmax and node.op_type == "Softmax":
        b.define(value, Tensor(value.name or "", "f32", shape, source=replace(scores, softmax=True)))
        return
    view = b.view(x, natural(len(shape)))
    made = b.result(value, "f32")
    rows, columns = prod(shape[:-1]), shape[-1]
    step = Softmax(rows, columns, log=node.op_type == "LogSoftmax", tasks=b.tasks(16 * rows * columns))
    b.emit(step, {"x": view, "y": made})


def _attention(b: Builder, node: ir.Node, scores: Scores, values: Tensor) -> None:
    value = node.outputs[0]
    shape = shape_of(value)
    tail = follow(b, value)
    b.cover(tail.nodes)
    batch, heads, rows, value_dim = _four(shape)
    dim, keys = _four(scores.b.shape)[2:]
    quantized = [affine_input(tensor) for tensor in (scores.a, scores.b, values)]
    integer = all(pair is not None for pair in quantized)
    pairs: list[tuple[Tensor, Affine]] = [pair for pair in quantized if pair is not None] if integer else []
    tensors = [pair[0] for pair in pairs] if integer else [scores.a, scores.b, values]
    rank = len(shape)
    q, v = _inner_last(b, tensors[0], rank - 1), _inner_last(b, tensors[2], rank - 1)
    k = _inner_last(b, tensors[1], rank - 2)
    order: Order = (0, 2, 1, 3) if rank == 4 else natural(rank)
    value_scale = float(pairs[2][1].scale) if integer else 1.0
    output = None
    if tail.affine is not None:
        low, high = tail.bounds()
        output = Requantize(tail.affine.zero_point, low, high)
        value_scale = float(np.float32(value_scale) / tail.affine.scale)
    if scores.probabilities is not None:
        value_scale *= float(scores.probabilities.scale)
    made = b.result(tail.value, "u8" if output else "f32", order if len(shape_of(tail.value)) == rank else None)
    mask_fields, mask = _mask(b, scores.mask, (*shape[:-1], keys))
    step = Attention(
        batch=batch,
        heads=heads,
        query_rows=rows,
        key_rows=keys,
        dim=dim,
        value_dim=value_dim,
        q=_layout(q, rank - 2),
        k=_layout(k, rank - 1),
        v=_layout(v, rank - 2),
        y=_layout(made, rank - 2),
        product_scale=scores.scale * (float(pairs[0][1].scale * pairs[1][1].scale) if integer else 1.0),
        product=_rounding(scores.product),
        scale=scores.factor,
        scaled=_rounding(scores.scaled),
        masked=_rounding(scores.masked),
        probabilities=_rounding(scores.probabilities, whole=True),
        element="u8" if integer else "f32",
        zero_points=tuple(pair[1].zero_point for pair in pairs) if integer else (0, 0, 0),  # type: ignore[arg-type]
        value_scale=value_scale,
        output=output,
        tasks=b.tasks(batch * heads * rows * keys * (dim + value_dim)),
        **mask_fields,  # type: ignore[arg-type]
    )
    b.emit(step, {"q": q, "k": k, "v": v, "y": made, **({} if mask is None else {"mask": mask})})


def _rounding(affine: Affine | None, *, whole: bool = False) -> Rounding | None:
    """How the kernel rounds; whole numbers are left without their scale."""
    if affine is None:
        return None
    scale = float(affine.scale)
    return Rounding(float(np.float32(1) / affine.scale), 1.0 if whole else scale, affine.zero_point)


def _mask(b: Builder, mask: Tensor | None, shape: tuple[int, ...]) -> tuple[dict[str, object], View | None]:
    if mask is None:
        return {}, None
    view = b.view(mask, natural(len(mask.shape)))
    sizes = (1,) * (4 - len(mask.shape)) + mask.shape
    if len(shape) == 3:
        sizes = (sizes[1], 1, *sizes[2:])
    batch, heads, rows, keys = sizes
    block = rows * keys
    fields: dict[str, object] = {
        "mask": "full" if rows > 1 or _four(shape)[2] == 1 else "keys",
        "mask_batch": heads * block if batch > 1 else 0,
        "mask_head": block if heads > 1 else 0,
    }
    return fields, view


def _inner_last(b: Builder, tensor: Tensor, inner: int) -> View:
    """The tensor with one axis innermost in memory; as it lies where it does already."""
    view = b.view(tensor)
    if view.key and view.key[-1] != inner and tensor.shape[inner] != 1:
        rest = tuple(axis for axis in view.order if axis != inner)
        view = b.view(tensor, (*rest, inner))
    return view


def _layout(view: View, row: int) -> Layout:
    """Steps between rows, heads and entries of the batch, of a view [batch(, heads), rows, columns in any order]."""
    steps = [0] * len(view.shape)
    step = 1
    for axis in reversed(view.order):
        steps[axis] = step
        step *= view.shape[axis]
    return Layout(pitch=steps[row], head=steps[1] if len(steps) == 4 else 0, batch=steps[0])


def _four(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """[batch, heads, rows, columns] of a shape that may lack heads."""
    batch, *heads, rows, columns = shape
    return batch, heads[0] if heads else 1, rows, columns


def _fits(a: Tensor, b: Tensor) -> bool:
    return len(a.shape) == len(b.shape) in (3, 4) and a.shape[:-2] == b.shape[:-2] and a.element == b.element == "f32"


def _spreads(mask: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    padded = (1,) * (len(shape) - len(mask)) + mask
    return (
        len(padded) == len(shape)
        and padded[-1] == shape[-1]
        and all(m in (1, s) for m, s in zip(padded, shape, strict=True))
    )


def _scores_of(b: Builder, value: ir.Value | None) -> Scores | None:
    tensor = b.tensors.get(value) if value is not None else None
    return None if tensor is None else scores_behind(tensor)


def scores_behind(tensor: Tensor) -> Scores | None:
    """The attention scores that a tensor is, perhaps rounded to 8 bits and back; None where it is something else."""
    source = tensor.source
    if isinstance(source, Scores):
        return source
    if not isinstance(source, Lookup) or source.affine is None or source.of.views:
        return None
    quantization = source.of.source
    if not isinstance(quantization, Quantization) or quantization.of.views:
        return None
    there, back = quantization.affine, source.affine
    same = (there.scale, there.zero_point) == (back.scale, back.zero_point)
    scores = scores_behind(quantization.of)
    return scores.rounded(there) if same and scores is not None else None
