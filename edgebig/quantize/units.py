"""Which nodes of a graph can run in integers, and why the others cannot."""

from collections.abc import Collection
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.quantize.clipping import clip_limits, gate_constants
from edgebig.quantize.ops import handlers
from edgebig.quantize.ops.gelu import PART_OF_GELU, gelu_nodes
from edgebig.quantize.ops.generic import generic
from edgebig.quantize.ops.layer_norm import PART_OF_NORMALIZATION, layer_norm_nodes
from edgebig.quantize.ops.logarithm import LOGARITHM, feeds_logarithm
from edgebig.quantize.unit import Facts, ScaleRule, Unit

STANDARD = ("", "ai.onnx")


@dataclass(frozen=True)
class Candidates:
    """What a graph offers.

    Attributes:
        units: Units that can run in integers, in the graph's order.
        reasons: Node -> why it cannot.
    """

    units: tuple[Unit, ...]
    reasons: dict[ir.Node, str]


def find_units(graph: ir.Graph, facts: Facts, excluded: Collection[ir.Node]) -> Candidates:
    """See the nodes of a graph (not of its subgraphs) as units.

    Args:
        graph: The graph, in topological order.
        facts: What is known of the model.
        excluded: Nodes that shall stay in float.
    """
    units: list[Unit] = []
    reasons: dict[ir.Node, str] = {}
    taken: set[ir.Node] = set()
    fused = _fused(graph, facts)
    for node in graph:
        if node in taken:
            continue
        if node in fused:
            reasons[node] = "excluded" if node in excluded else fused[node]
            continue
        found = _see(node, facts, excluded)
        if isinstance(found, str):
            reasons[node] = found
            continue
        if found.bias_node is not None and found.bias_node in excluded:
            found.bias_node = found.bias = None
        if found.scale is ScaleRule.OWN:
            _absorb(found, facts, excluded)
        units.append(found)
        taken.update(found.nodes)
    return Candidates(tuple(units), reasons)


def _fused(graph: ir.Graph, facts: Facts) -> dict[ir.Node, str]:
    """Nodes that runtimes fuse with float neighbours, which integers would break up; and what they are part of."""
    if facts.target.integer_only:
        return {}
    normalizations = dict.fromkeys(layer_norm_nodes(graph), PART_OF_NORMALIZATION)
    return normalizations | dict.fromkeys(gelu_nodes(graph), PART_OF_GELU)


def _see(node: ir.Node, facts: Facts, excluded: Collection[ir.Node]) -> Unit | str:
    if node in excluded:
        return "excluded"
    if node.domain not in STANDARD:
        return f"operators of domain {node.domain} stay in float"
    if node.op_type in facts.target.float_ops:
        return facts.target.float_ops[node.op_type]
    unit = _handled(node, facts)
    if isinstance(unit, str):
        return unit
    if (unit.weighted is not None or unit.forced) and not facts.target.integer_only and feeds_logarithm(node):
        return LOGARITHM
    for value in (*unit.inputs, *node.outputs):
        if value.dtype is not None and value.dtype != ir.DataType.FLOAT:
            return f"it works on {value.dtype.name.lower()}, not float32"
        if value.dtype is None:
            return "the type of its tensors is not known"
    for value in unit.inputs:
        array = constant_array(value)
        if array is not None and array.size == 0:
            return "one of its inputs is empty"
    return unit


def _handled(node: ir.Node, facts: Facts) -> Unit | str:
    if node.op_type in facts.target.int8_ops:
        if node.op_type in handlers:
            return handlers.get(node.op_type)(node, facts)
        if facts.target.integer_only:
            return generic(node, facts)
    return f"no integer form of {node.op_type} is known for {facts.target.name}"


def _absorb(unit: Unit, facts: Facts, excluded: Collection[ir.Node]) -> None:
    """Take in the activations that quantizing the unit's output expresses: one clip, or one HardSigmoid.

    A HardSigmoid is taken only where the result is always in integers: a unit that may give float keeps its own. A zero
    point of 0 clips nothing, and float results are clipped in float.
    """
    target = facts.target
    if target.symmetric_activations or not target.quantize_results:
        return
    value = unit.outputs[0]
    uses = list(value.uses())
    if len(unit.outputs) != 1 or len(uses) != 1 or value.is_graph_output():
        return
    node = uses[0].node
    if node in excluded or node.domain not in STANDARD or uses[0].idx != 0 or node.graph is not unit.node.graph:
        return
    if clip_limits(node) is not None or (
        node.op_type == "HardSigmoid"
        and "HardSigmoid" in target.replaced_ops
        and gate_constants(node) is not None
        and not unit.float_output
    ):
        unit.tail.append(node)
