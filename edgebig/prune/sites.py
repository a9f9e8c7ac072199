"""One node with a weight: what it reads, what it should give, where its bias lies.

What a site should give is the original's value at its output, taken as far down as nothing but additions lies between:
behind the constant Add that is the bias of a MatMul, and behind the Add of a residual connection, where the other
operand of the pruned model is subtracted, so that the layer also makes good what the other branch lost.
"""

import dataclasses

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.graph.weights import WeightedNode


@dataclasses.dataclass(frozen=True)
class BiasSlot:
    """Where a bias is written: an input of a node, found by its first output.

    Attributes:
        node: Name of the node's first output.
        index: Which input.
        scale: What the node multiplies it with (Gemm's beta).
    """

    node: str
    index: int
    scale: float = 1.0


@dataclasses.dataclass(frozen=True)
class Site:
    """One node that uses a layer's weight.

    Attributes:
        weighted: The node and its weight, in the original.
        source: The value it reads.
        own: The value that it gives, bias included.
        bias: Where its bias is written; None where there is no place for one.
        total: The sum of a residual connection that `own` goes into and nowhere else.
        other: The other operand of that sum.
    """

    weighted: WeightedNode
    source: str
    own: str
    bias: BiasSlot | None
    total: str | None = None
    other: str | None = None


def find_site(weighted: WeightedNode) -> Site:
    """See a node with a weight as a site."""
    value, slot = weighted.node.outputs[0], _own_bias(weighted)
    if weighted.node.op_type == "MatMul" and weighted.weight_index == 1:
        add = _only_add(value)
        constant = None if add is None else constant_array(_other(add, value))
        outputs = weighted.array().shape[-1]
        if add is not None and constant is not None and constant.size == outputs == constant.shape[-1]:
            slot = BiasSlot(add.outputs[0].name or "", 1 if add.inputs[0] is value else 0)
            value = add.outputs[0]
    source, own = weighted.activation.name or "", value.name or ""
    add = _only_add(value)
    other = None if add is None else _other(add, value)
    if add is None or other is None or constant_array(other) is not None:
        return Site(weighted, source, own, slot)
    return Site(weighted, source, own, slot, add.outputs[0].name or "", other.name or "")


def _own_bias(weighted: WeightedNode) -> BiasSlot | None:
    """The third input of a Conv, ConvTranspose or Gemm, whether it is there already or not."""
    if weighted.node.op_type == "MatMul":
        return None
    scale = weighted.node.attributes.get_float("beta", 1.0) if weighted.node.op_type == "Gemm" else 1.0
    return BiasSlot(weighted.node.outputs[0].name or "", 2, scale) if scale else None


def _only_add(value: ir.Value) -> ir.Node | None:
    """The Add that is the value's only use."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0].node.op_type != "Add" or uses[0].node.graph is None:
        return None
    producer = value.producer()
    return uses[0].node if producer is not None and producer.graph is uses[0].node.graph else None


def _other(add: ir.Node, value: ir.Value) -> ir.Value | None:
    return add.inputs[1] if add.inputs[0] is value else add.inputs[0]
