"""What comes right after a node and can be done in the same breath: bias, relu or clip, quantization."""

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.runtime.lower.builder import Builder
from edgebig.runtime.lower.parameters import quantization_of
from edgebig.runtime.lower.tensors import Affine


@dataclass
class Tail:
    """The nodes fused behind one node, in order: [Add of a bias], [Relu or Clip], [QuantizeLinear].

    Attributes:
        value: The value the fused kernel gives.
        nodes: The nodes fused.
        bias: float32 [channels] added, or None.
        low, high: Real bounds from Relu or Clip.
        affine: Of the output where it is quantized, else None.
    """

    value: ir.Value
    nodes: list[ir.Node] = field(default_factory=list)
    bias: NDArray | None = None
    low: float = -np.inf
    high: float = np.inf
    affine: Affine | None = None

    def bounds(self) -> tuple[int, int]:
        """Least and largest quantized value that the bounds and the dtype allow."""
        if self.affine is None:
            return 0, 255
        zero_point, scale = self.affine.zero_point, self.affine.scale

        def step(real: float) -> int:
            return int(np.clip(np.rint(np.float32(real) / scale) + zero_point, 0, 255))

        return (0 if np.isneginf(self.low) else step(self.low)), (255 if np.isposinf(self.high) else step(self.high))


def follow(b: Builder, value: ir.Value, *, bias_axis: int | None = None, quantize: bool = True) -> Tail:
    """Find what can be fused behind a value.

    Args:
        b: The lowering.
        value: A node's float output.
        bias_axis: Axis along which a constant may be added; None if no bias may come.
        quantize: Whether a QuantizeLinear may be fused.
    """
    tail = Tail(value)
    node = only_consumer(b, value)
    if node is not None and bias_axis is not None and node.op_type == "Add":
        bias = _bias(node, value, bias_axis)
        if bias is not None:
            tail.bias = bias
            node = _take(b, tail, node)
    if node is not None and node.op_type in ("Relu", "Clip"):
        bounds = clip_bounds(node)
        if bounds is not None:
            tail.low, tail.high = bounds
            node = _take(b, tail, node)
    if quantize and node is not None and node.op_type == "QuantizeLinear":
        affine = quantization_of(node)
        if affine is not None:
            tail.affine = affine
            _take(b, tail, node)
    return tail


def only_consumer(b: Builder, value: ir.Value) -> ir.Node | None:
    """The one node that uses a value, where it is in the segment and the value is not an output of the model."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0].node not in b.inside:
        return None
    return uses[0].node


def clip_bounds(node: ir.Node) -> tuple[float, float] | None:
    """The real bounds of a Relu or Clip with constant bounds."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    bounds = [-np.inf, np.inf]
    for i, name in enumerate(("min", "max")):
        if name in node.attributes:  # opset 6
            bounds[i] = node.attributes[name].as_float()
        elif len(node.inputs) > i + 1 and node.inputs[i + 1] is not None:
            array = constant_array(node.inputs[i + 1])
            if array is None or array.size != 1:
                return None
            bounds[i] = float(array.reshape(-1)[0])
    return bounds[0], bounds[1]


def _take(b: Builder, tail: Tail, node: ir.Node) -> ir.Node | None:
    tail.nodes.append(node)
    tail.value = node.outputs[0]
    return only_consumer(b, tail.value)


def _bias(node: ir.Node, value: ir.Value, axis: int) -> NDArray | None:
    """The constant that an Add adds along one axis, as a vector."""
    other = node.inputs[1] if node.inputs[0] is value else node.inputs[0]
    array = constant_array(other)
    shape = value.shape
    if array is None or shape is None or array.dtype != np.float32 or array.ndim > len(shape):
        return None
    size = shape[axis]
    if not isinstance(size, int):
        return None
    padded = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    if padded.size == 1:
        return np.full(size, padded.reshape(-1)[0], dtype=np.float32)
    return padded.reshape(-1) if padded.shape[axis] == size == padded.size else None
