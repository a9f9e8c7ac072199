"""Concat, Split and Slice: pieces of tensors, copied only where a kernel needs them."""

from math import prod

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.kernels.convert_transpose import Copy
from edgebig.runtime.lower.builder import NHWC, Builder, shape_of
from edgebig.runtime.lower.follow import follow
from edgebig.runtime.lower.layout import through
from edgebig.runtime.lower.quantization import requantized
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Affine, Lookup, Sliced, Tensor, affine_table
from edgebig.runtime.plan import ELEMENT_BYTES, Order, Part, View, lying, natural


def lower_concat(b: Builder, node: ir.Node) -> None:
    """Lower a Concat; quantized tensors are brought to the scale of the result, each by a table, and stay quantized."""
    tensors = [b.tensor(value) for value in node.inputs]
    value = node.outputs[0]
    axis = node.attributes.get_int("axis", 0) or 0
    tail = follow(b, value)
    tables = all(isinstance(tensor.source, Lookup) for tensor in tensors)
    if tables and tail.affine is not None and len(tail.nodes) == 1:
        b.cover(tail.nodes)
        join(b, tail.value, [requantized(tensor, tail.affine) for tensor in tensors], axis)
        return
    affine = _common_affine(tensors)
    if affine is not None:
        inner = Tensor(value.name or "", "u8", shape_of(value))
        quantized = [tensor.source.of for tensor in tensors if isinstance(tensor.source, Lookup)]
        inner.views.append(_joined(b, value, quantized, axis, "u8"))
        b.define(
            value, Tensor(value.name or "", "f32", inner.shape, source=Lookup(inner, affine_table(affine), affine))
        )
        return
    join(b, value, tensors, axis)


def join(b: Builder, value: ir.Value, tensors: list[Tensor], axis: int) -> None:
    """Define a value as tensors one after the other along an axis."""
    element = tensors[0].element
    view = _joined(b, value, tensors, axis, element)
    b.define(value, Tensor(value.name or "", element, view.shape, [view]))


def lower_split(b: Builder, node: ir.Node) -> None:
    """Lower a Split into parts of known sizes."""
    x = b.tensor(node.inputs[0])
    axis = (node.attributes.get_int("axis", 0) or 0) % len(x.shape)
    start = 0
    for value in node.outputs:
        start += _cut(b, x, value, axis, start)


def lower_slice(b: Builder, node: ir.Node) -> None:
    """Lower a Slice with constant bounds and steps of one."""
    x = b.tensor(node.inputs[0])
    arrays = [constant_array(value) if value is not None else None for value in node.inputs[1:]]
    if len(arrays) < 2 or arrays[0] is None or arrays[1] is None:
        raise Refusal("its bounds are not constant")
    starts = arrays[0].reshape(-1).tolist()
    given = arrays[2] if len(arrays) > 2 else None
    axes = list(range(len(starts))) if given is None else [int(a) % len(x.shape) for a in given.reshape(-1)]
    steps = arrays[3] if len(arrays) > 3 else None
    if steps is not None and (steps != 1).any():
        raise Refusal("its steps are not 1")
    shape = shape_of(node.outputs[0])
    moved = [axis for axis in axes if shape[axis] != x.shape[axis]]
    if len(moved) > 1:
        raise Refusal("it cuts several axes")
    if not moved:
        b.define(node.outputs[0], x)
        return
    start = int(starts[axes.index(moved[0])])
    size = x.shape[moved[0]]
    _cut(b, x, node.outputs[0], moved[0], min(max(start + size if start < 0 else start, 0), size))


def _cut(b: Builder, x: Tensor, value: ir.Value, axis: int, start: int) -> int:
    shape = shape_of(value)

    def piece(tensor: Tensor) -> Tensor:
        return Tensor(value.name or "", tensor.element, shape, source=Sliced(tensor, axis, start))

    b.define(value, through(x, piece))
    return shape[axis]


def _joined(b: Builder, value: ir.Value, tensors: list[Tensor], axis: int, element: str) -> View:
    shape = shape_of(value)
    axis %= len(shape)
    order = _order(tensors, len(shape))
    made = b.new("u8" if element == "u8" else "f32", shape, order, value.name or "")
    place = order.index(axis)
    inner = prod(made.memory_shape[place + 1 :]) * ELEMENT_BYTES[made.element]
    rows, whole, start = prod(made.memory_shape[:place]), shape[axis] * inner, 0
    for tensor in tensors:
        view = b.view(tensor, order)
        part = tensor.shape[axis] * inner
        b.emit(Copy(rows, part, part, whole), {"x": view, "y": Part(made.buffer, start)})
        start += part
    return made


def _order(tensors: list[Tensor], rank: int) -> Order:
    """NHWC where any of the tensors lies so already, or what it is a function of."""
    if rank != 4:
        return natural(rank)
    behind = [tensor.source.of if isinstance(tensor.source, Lookup) else tensor for tensor in tensors]
    views = [view for tensor in (*tensors, *behind) for view in tensor.views]
    return NHWC if any(view.key != lying(view.shape, natural(4)) for view in views) else natural(4)


def _common_affine(tensors: list[Tensor]) -> Affine | None:
    """The scale and zero point that quantized tensors share; None where they differ or are not quantized."""
    found = [tensor.source.affine if isinstance(tensor.source, Lookup) else None for tensor in tensors]
    first = found[0]
    if first is None:
        return None
    same = all(a is not None and a.scale == first.scale and a.zero_point == first.zero_point for a in found)
    return first if same else None
