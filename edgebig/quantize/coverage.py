"""The coverage table: what became of every node, and how much of the work and of the weights that is."""

from collections.abc import Mapping

import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import constant_array
from edgebig.graph.weights import WEIGHTED_OPS, WeightedNode, as_weighted
from edgebig.quantize.exclude import node_name
from edgebig.quantize.placement import NOT_WORTH, Placement
from edgebig.quantize.unit import Facts, Unit
from edgebig.quantize.units import Candidates
from edgebig.records.quantize import FLOAT, NodeCoverage

RECURRENT = ("GRU", "LSTM", "RNN")
NESTED = "inside the body of an If, Loop or Scan: schemes without ranges (int8-dynamic) reach it, static int8 does not"


def plan_coverage(
    graph: ir.Graph, candidates: Candidates, placement: Placement, facts: Facts
) -> tuple[NodeCoverage, ...]:
    """A row per node of the float graph, in its order; taken before the graph is changed."""
    reasons = dict(candidates.reasons)
    for left in placement.left:
        reasons.update(dict.fromkeys(left.nodes, NOT_WORTH))
    integer: dict[ir.Node, Unit] = {node: unit for unit in placement.units for node in unit.nodes}
    rows = []
    for node in graph:
        if node.op_type == "Constant":
            continue
        unit = integer.get(node)
        stays = unit is not None and node in unit.tail and unit in placement.float_results
        reason = reasons.get(node, "") if unit is None else _remark(node, unit, placement)
        multiply_adds, weights = work_of(node, facts)
        rows.append(
            NodeCoverage(
                node=node_name(node),
                op_type=node.op_type,
                precision="int8" if unit is not None and not stays else FLOAT,
                reason=reason,
                multiply_adds=multiply_adds,
                weights=weights,
            )
        )
    return (*rows, *_nested_rows(graph, {}))


def _nested_rows(graph: ir.Graph, reasons: Mapping[ir.Node, str]) -> list[NodeCoverage]:
    """Rows of nodes with weights in the bodies of If, Loop and Scan; how often those run is not known."""
    rows = []
    for node in ir.traversal.RecursiveGraphIterator(graph):
        if node.graph is graph:
            continue
        weights = sum(array.size for value in node.inputs if (array := _float_constant(value)) is not None)
        if node.op_type in WEIGHTED_OPS or node.op_type in RECURRENT or node in reasons:
            reason = reasons.get(node, NESTED)
            rows.append(
                NodeCoverage(
                    node=node_name(node),
                    op_type=node.op_type,
                    precision=FLOAT,
                    reason=reason,
                    multiply_adds=0,
                    weights=weights,
                )
            )
    return rows


def _float_constant(value: ir.Value | None) -> NDArray | None:
    array = constant_array(value)
    return array if array is not None and array.dtype.kind == "f" else None


def _remark(node: ir.Node, unit: Unit, placement: Placement) -> str:
    if node in unit.tail:
        return "behind a float result" if unit in placement.float_results else f"inside {node_name(unit.node)}"
    if node is unit.bias_node:
        return f"bias of {node_name(unit.node)}"
    return "float result" if unit in placement.float_results else ""


def float_rows(graph: ir.Graph, facts: Facts, reasons: Mapping[ir.Node, str]) -> tuple[NodeCoverage, ...]:
    """A row per node of a graph, as if all stayed in float, with the reasons why some must."""
    rows = []
    for node in graph:
        if node.op_type != "Constant":
            multiply_adds, weights = work_of(node, facts)
            rows.append(
                NodeCoverage(
                    node=node_name(node),
                    op_type=node.op_type,
                    precision=FLOAT,
                    reason=reasons.get(node, ""),
                    multiply_adds=multiply_adds,
                    weights=weights,
                )
            )
    return (*rows, *_nested_rows(graph, reasons))


def work_of(node: ir.Node, facts: Facts) -> tuple[int, int]:
    """Multiply-adds on one sample, and numbers in the weights."""
    weighted = as_weighted(node)
    if weighted is None:
        given = [value for value in node.inputs if value is not None]
        # What is computed from constants alone counts once, where something else reads it.
        weights = 0 if all(_fixed(value) for value in given) else sum(_numbers(value, facts) for value in given)
        inner = (facts.shape(node.inputs[0]) or (0,))[-1] if node.op_type == "MatMul" else 0
        return facts.elements(node.outputs[0]) * inner if inner else 0, weights
    return _multiply_adds(weighted, facts), weighted.array().size


def _numbers(value: ir.Value, facts: Facts) -> int:
    """Floats of a value that is the same on every run; 0 for one that is not."""
    array = constant_array(value)
    if array is not None:
        return array.size if array.dtype.kind == "f" else 0
    return facts.elements(value) if _fixed(value) and value.dtype is ir.DataType.FLOAT else 0


def _fixed(value: ir.Value) -> bool:
    """Whether a value is constant, or computed from constants alone."""
    if value.is_graph_input():
        return False
    producer = value.producer()
    constant = ir.convenience.get_const_tensor(value) is not None  # the tensor alone: large weights are not read
    if producer is None or constant:
        return constant
    inputs = [given for given in producer.inputs if given is not None]
    return bool(inputs) and all(_fixed(given) for given in inputs)


def _multiply_adds(weighted: WeightedNode, facts: Facts) -> int:
    array = weighted.array()
    if weighted.node.op_type == "ConvTranspose":
        return facts.elements(weighted.activation) * array.size // array.shape[0]
    return facts.elements(weighted.node.outputs[0]) * array.size // array.shape[weighted.output_axis]
