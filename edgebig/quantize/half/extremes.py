"""Constants that float16 cannot hold, and how far they reach.

Attention masks add -1e9 or the smallest float to scores, which float16 turns into minus infinity, and a row of nothing
else into NaN after a softmax. Epsilons of 1e-12 become zero, and what they guard is divided by zero. So the nodes that
read such constants stay in float32, and those that read their results, up to where values are bounded again.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.quantize.weight_only.reading import read_parts

LARGEST = 65504.0
# The smallest normal number; scalars below it are guards against zero.
SMALLEST = 6.2e-5
# Bounds may be cut to what float16 holds, since its numbers never exceed that.
BOUNDS = ("Clip", "Min", "Max")
# Results that are bounded, whatever goes in.
_BOUNDED = frozenset(
    {
        *("Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid", "Tanh", "Erf", "Softsign", "Sign", "Sin", "Cos"),
        *("LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "LpNormalization"),
        *("LSTM", "GRU", "RNN", "Clip"),
    }
)
# Where a guard against zero goes on guarding.
_GUARDING = frozenset(
    {
        *("Add", "Max", "Clip", "Sqrt", "Pow", "Reciprocal", "Abs", "Identity", "Cast"),
        *("Expand", "Unsqueeze", "Squeeze", "Reshape", "Transpose"),
    }
)
HUGE = "a constant in or before it is beyond float16's range of 65504"
TINY = "a guard against division by zero in or before it is 0 in float16"


def extreme_nodes(graph: ir.Graph) -> dict[ir.Node, str]:
    """The nodes of a graph and its subgraphs that must stay in float32, with the reason."""
    reasons: dict[ir.Node, str] = {}
    huge: set[ir.Value] = set()
    tiny: set[ir.Value] = set()
    for node in _inside_out(graph):
        read = [value for value in node.inputs if value is not None]
        inner = [value for body in _bodies(node) for value in body.outputs]
        reads_huge = any(value in huge for value in (*read, *inner)) or _holds_huge(node)
        reads_tiny = any(value in tiny for value in read) or any(_is_guard(value) for value in read)
        if reads_huge:
            reasons[node] = HUGE
            if node.op_type not in _BOUNDED:
                huge.update(node.outputs)
        elif reads_tiny:
            reasons[node] = TINY
        if reads_tiny and node.op_type in _GUARDING:
            tiny.update(node.outputs)
    return reasons


def _inside_out(graph: ir.Graph) -> Iterator[ir.Node]:
    """All nodes, those of a node's subgraphs before the node itself."""
    for node in graph:
        for body in _bodies(node):
            yield from _inside_out(body)
        yield node


def _bodies(node: ir.Node) -> list[ir.Graph]:
    attributes = list(node.attributes.values())
    bodies = [attribute.as_graph() for attribute in attributes if attribute.type == ir.AttributeType.GRAPH]
    several = [attribute.as_graphs() for attribute in attributes if attribute.type == ir.AttributeType.GRAPHS]
    return [*bodies, *(body for graphs in several for body in graphs)]


def _holds_huge(node: ir.Node) -> bool:
    if node.op_type in BOUNDS:
        return False
    values = [value.const_value for value in node.inputs if value is not None and value.is_initializer()]
    made = node.attributes.get("value") if node.op_type in ("ConstantOfShape", "Constant") else None
    return any(_exceeds(tensor) for tensor in [*values, made.as_tensor() if made is not None else None])


def _exceeds(tensor: ir.TensorProtocol | None) -> bool:
    """Whether finite numbers of a tensor leave float16's range; infinities have a float16 form."""
    if tensor is None or tensor.dtype != ir.DataType.FLOAT:
        return False
    if not tensor.shape.numpy():
        return _largest(np.asarray(tensor.numpy())) > LARGEST
    return any(_largest(part) > LARGEST for _, part in read_parts(tensor, 1))


def _largest(array: NDArray) -> float:
    """The largest finite magnitude."""
    if array.size == 0:
        return 0.0
    largest = max(float(array.max()), -float(array.min()))
    return largest if np.isfinite(largest) else float(np.abs(array[np.isfinite(array)]).max(initial=0.0))


def _is_guard(value: ir.Value) -> bool:
    tensor = value.const_value if value.is_initializer() else None
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size != 1:
        return False
    size = abs(float(np.asarray(tensor.numpy()).reshape(-1)[0]))
    return 0 < size < SMALLEST
