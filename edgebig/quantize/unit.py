"""Units of placement: a node that can run in integers, with the nodes that come along for free.

A bias added after a MatMul, and activations that the saturation of QuantizeLinear expresses (Relu, Clip, HardSigmoid),
belong to the node before them: nothing may stand between them and it, or onnxruntime does not fuse.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import onnx_ir as ir

from edgebig.graph.weights import WeightedNode
from edgebig.targets.base import Target


class ScaleRule(Enum):
    """Where the scale of a unit's output comes from."""

    OWN = "own"
    INPUT = "input"


@dataclass(frozen=True)
class Facts:
    """What handlers may know of the model.

    Attributes:
        target: Where the result will run.
        shapes: Value name -> shape on a real sample; values that are missing have no known shape.
        opset: Version of the standard operator set.
    """

    target: Target
    shapes: Mapping[str, tuple[int, ...]]
    opset: int

    def shape(self, value: ir.Value | None) -> tuple[int, ...] | None:
        """Shape of a value on a real sample, or None where it is not known."""
        return None if value is None else self.shapes.get(value.name or "")

    def elements(self, value: ir.Value | None) -> int:
        """Elements of a value on a real sample; 1 where its shape is not known."""
        count = 1
        for size in self.shape(value) or ():
            count *= size
        return count


@dataclass(eq=False)
class Unit:
    """A node that can run in integers.

    Attributes:
        node: The node.
        activations: Indices of the inputs that must be quantized tensors.
        scale: Where its outputs' scale comes from.
        float_output: Whether it may give float results from integer inputs at no cost.
        weighted: Its constant weight, where it has one.
        bias: The bias that is added in int32, or None.
        bias_node: The Add of that bias where it is a node of its own.
        tail: Activations behind it, first to last, that quantizing its output expresses.
        forced: Whether it runs in integers whatever conversions cost, as those with a weight do.
        useful: Values of its (single) activation beyond these limits need not be told apart.
        write: Writes it in integers (see `edgebig.quantize.ops`).
    """

    node: ir.Node
    activations: tuple[int, ...]
    scale: ScaleRule
    float_output: bool
    write: "UnitWriter"
    weighted: WeightedNode | None = None
    bias: ir.Value | None = None
    bias_node: ir.Node | None = None
    tail: list[ir.Node] = field(default_factory=list)
    forced: bool = False
    useful: tuple[float, float] = (float("-inf"), float("inf"))

    @property
    def inputs(self) -> list[ir.Value]:
        """The values that must be quantized, constants included."""
        return [value for index in self.activations if (value := self.node.inputs[index]) is not None]

    @property
    def outputs(self) -> tuple[ir.Value, ...]:
        """The values the unit gives: its node's, or the last absorbed node's."""
        return tuple(self.last.outputs)

    @property
    def raw_output(self) -> ir.Value:
        """The value before the absorbed activations."""
        return (self.bias_node or self.node).outputs[0]

    @property
    def last(self) -> ir.Node:
        """The node that gives the unit's output."""
        return self.tail[-1] if self.tail else self.bias_node or self.node

    @property
    def nodes(self) -> list[ir.Node]:
        """All its nodes, first to last."""
        return [self.node, *([self.bias_node] if self.bias_node else []), *self.tail]


UnitWriter = Callable[..., None]
