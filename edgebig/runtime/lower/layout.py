"""Reshape, Flatten, Squeeze, Unsqueeze, Identity and Transpose: the same memory, read differently."""

from collections.abc import Callable

import onnx_ir as ir

from edgebig.runtime.lower.builder import Builder, element_of, shape_of
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Lookup, Reshaped, Tensor, Transposed


def lower_reshape(b: Builder, node: ir.Node) -> None:
    """Lower a node that gives its first input another shape."""
    x, value = b.tensor(node.inputs[0]), node.outputs[0]
    shape = shape_of(value)
    if shape == x.shape:
        b.define(value, x)
        return
    b.define(value, through(x, lambda t: Tensor(value.name or "", t.element, shape, source=Reshaped(t))))


def lower_identity(b: Builder, node: ir.Node) -> None:
    """Lower a node that gives its first input (Identity, Dropout at inference)."""
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        raise Refusal("it may be training")
    element_of(node.outputs[0])
    b.define(node.outputs[0], b.tensor(node.inputs[0]))


def lower_transpose(b: Builder, node: ir.Node) -> None:
    """Lower a Transpose: nothing moves until a kernel needs the axes in another order."""
    x, value = b.tensor(node.inputs[0]), node.outputs[0]
    shape = shape_of(value)
    given = node.attributes.get_ints("perm", None)
    permutation = tuple(given) if given else tuple(reversed(range(len(shape))))

    def turned(tensor: Tensor) -> Tensor:
        return Tensor(value.name or "", tensor.element, shape, source=Transposed(tensor, permutation))

    b.define(value, through(x, turned))


def through(x: Tensor, move: Callable[[Tensor], Tensor]) -> Tensor:
    """Move a tensor; one that is a function of a quantized tensor stays one, of the moved quantized tensor."""
    source = x.source
    if not isinstance(source, Lookup):
        return move(x)
    moved = move(source.of)
    return Tensor(moved.name, x.element, moved.shape, source=Lookup(moved, source.table, source.affine))
