"""A pair around a tensor that only float operators make and read: it costs time and accuracy and buys nothing."""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.graph.load import all_nodes
from edgebig.lint.context import Context, finding, label
from edgebig.lint.quantized import STANDARD, is_constant, is_dequantize, is_quantize
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

NAME = "float-pair"


def check(context: Context) -> Iterator[Finding]:
    """Find pairs whose both ends the target runs in float."""
    for node in context.nodes:
        if not _between_float(node, context):
            continue
        readers = sorted({use.node.op_type for reader in _readers(node) for use in reader.outputs[0].uses()})
        yield finding(
            NAME,
            Severity.SLOWER,
            node,
            "a QuantizeLinear-DequantizeLinear pair stands between operators that the target runs in float: it rounds "
            "the tensor to 8 bits and gains nothing",
            detail=f"read by {', '.join(readers) or 'nothing'}",
            advice="take the pair out; results come nearer to the float model's",
            fixable=True,
        )


def fix(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Let the readers read the tensor itself."""
    count = 0
    for node in list(all_nodes(model)):
        if label(node) not in places or not _between_float(node, context) or node.graph is None:
            continue
        source, graph = node.inputs[0], node.graph
        if source is None:
            continue
        for reader in _readers(node):
            reader.outputs[0].replace_all_uses_with(source)
            graph.remove(reader, safe=True)
        graph.remove(node, safe=True)
        count += 1
    return count


def _readers(node: ir.Node) -> list[ir.Node]:
    return [use.node for use in node.outputs[0].uses()]


def _between_float(node: ir.Node, context: Context) -> bool:
    if not is_quantize(node) or is_constant(node.inputs[0]) or node.outputs[0].is_graph_output():
        return False
    readers = _readers(node)
    if not readers or not all(is_dequantize(reader) and reader.graph is node.graph for reader in readers):
        return False
    if any(reader.outputs[0].is_graph_output() for reader in readers):
        return False
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    users = [use.node for reader in readers for use in reader.outputs[0].uses()]
    return producer is not None and bool(users) and all(_stays_float(end, context) for end in (producer, *users))


def _stays_float(node: ir.Node, context: Context) -> bool:
    """Whether the target has no integer form of a node at all."""
    return (
        node.domain in STANDARD
        and not is_quantize(node)
        and not is_dequantize(node)
        and (not context.target.fuses(node.op_type) and node.op_type not in ("Relu", "Clip", "Identity"))
    )


RULE = Rule(
    NAME,
    check,
    source="fused_ops",
    fix=fix,
    repair="removed pairs between float operators",
    tolerance=0.05,
)
