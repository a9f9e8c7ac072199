"""Whether a node of a quantized graph can stand for a node of the float graph, and which of several does."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.diagnose.carriers import carrier
from edgebig.diagnose.operators import DEQUANTIZE, TWINS, operands
from edgebig.diagnose.stored import dequantized_constant
from edgebig.graph.edit import constant_array

Operands = list[tuple[ir.Value | None, ir.Value | None]]
Aliases = Callable[[ir.Value], list[ir.Value]]
_COMMUTATIVE = ("Add", "Mul", "Max", "Min", "Sum")
_ATTRIBUTES = ("axis", "perm", "to", "kernel_shape", "strides", "dilations", "group", "transA", "keepdims", "direction")
# Two weights whose cosine is lower than this are not the same weight, quantized.
SAME_WEIGHT = 0.9


def foldable_values(graph: ir.Graph) -> set[ir.Value]:
    """Initializers, and what is computed from them alone."""
    found = {value for value in graph.initializers.values() if not value.is_graph_input()}
    for node in graph:
        inputs = [value for value in node.inputs if value is not None]
        branches = any(attribute.type == ir.AttributeType.GRAPH for attribute in node.attributes.values())
        if inputs and not branches and all(value in found for value in inputs):
            found.update(node.outputs)
    return found


def agreeing(
    node: ir.Node, original: ir.Node, aliases: Aliases, constants: set[ir.Value], *, partly: bool = False
) -> Operands | None:
    """Pair what a node reads with what a float node reads; None where that is not the same.

    Args:
        node: Of the quantized graph.
        original: Of the float graph, of the same operator.
        aliases: The float values that a value of the quantized graph may stand for; none where it is unmatched.
        constants: The constant values of both graphs.
        partly: Whether operands that were not matched so far are taken for the same.
    """
    if not _same_attributes(node, original):
        return None
    ours, theirs = list(operands(node)), list(original.inputs)
    for order in [theirs, theirs[::-1]] if original.op_type in _COMMUTATIVE else [theirs]:
        if _agree(ours, order, aliases, constants, partly=partly):
            return list(zip(ours, order, strict=False))
    return None


def _agree(
    ours: Sequence[ir.Value | None],
    theirs: Sequence[ir.Value | None],
    aliases: Aliases,
    constants: set[ir.Value],
    *,
    partly: bool,
) -> bool:
    known = 0
    for index, other in enumerate(theirs):
        value = ours[index] if index < len(ours) else None
        if value is None or other is None:
            continue  # optional operands come and go: a bias that is added by a node of its own
        if (value in constants) != (other in constants):
            return False
        if value in constants:
            if not _same_size(value, other):
                return False
            continue
        found = aliases(value)
        if found and carrier(other) not in found:
            return False
        if not found and not partly:
            return False
        known += bool(found)
    return known > 0 or partly


def _same_size(value: ir.Value, other: ir.Value) -> bool:
    """Whether two constants may be the same weight: as many numbers, where both say how many (packed ones do not)."""
    ours, theirs = (_size(_stored(item)) for item in (value, other))
    packed = any(user.op_type in ("MatMulNBits", "GatherBlockQuantized") for user, _ in value.uses())
    return packed or ours is None or theirs is None or ours == theirs


def _stored(value: ir.Value) -> ir.Value:
    node = value.producer()
    return node.inputs[0] if node is not None and node.op_type == DEQUANTIZE and node.inputs[0] is not None else value


def _size(value: ir.Value) -> int | None:
    """Numbers of a constant of rank 2 or more; biases are reshaped and spread."""
    tensor = value.const_value
    return None if tensor is None or len(tensor.shape) < 2 else int(np.prod(tensor.shape.numpy()))


def _same_attributes(node: ir.Node, original: ir.Node) -> bool:
    for name in _ATTRIBUTES:
        ours, theirs = node.attributes.get(name), original.attributes.get(name)
        if ours is not None and theirs is not None and ours.value != theirs.value:
            if name == "axis" and node.op_type in TWINS:
                continue  # counted from the other end
            if isinstance(ours.value, int) and isinstance(theirs.value, int) and (ours.value < 0) != (theirs.value < 0):
                continue
            return False
    return True


def closest(node: ir.Node, candidates: Sequence[ir.Node]) -> ir.Node | None:
    """The one float node that a node stands for; None where none or several equally do."""
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    named = [item for item in candidates if item.name and (node.name or "").startswith(item.name)]
    if len(named) == 1:
        return named[0]
    weight = _weight(operands(node), node)
    if weight is None:
        return None
    cosines = [_cosine(weight, _weight(item.inputs, item)) for item in candidates]
    order = np.argsort(cosines)[::-1]
    best, second = cosines[order[0]], cosines[order[1]]
    return candidates[order[0]] if best > SAME_WEIGHT and best > second else None


def _weight(values: Sequence[ir.Value | None], node: ir.Node) -> NDArray | None:
    """The constant operand of a node as floats, without a bias."""
    for value in values[:2]:
        producer = value.producer() if value is not None else None
        if value is not None and (producer is None or producer.op_type == DEQUANTIZE):
            array = dequantized_constant(value, node) if node.op_type in TWINS or producer else constant_array(value)
            if array is not None and array.ndim:
                return array
    return None


def _cosine(a: NDArray, b: NDArray | None) -> float:
    if b is None or a.shape != b.shape:
        return -1.0
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a.astype(np.float64) * b).sum()) / norms if norms else 1.0
