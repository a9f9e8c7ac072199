"""Q and DQ that do no work: a DequantizeLinear undone by the next QuantizeLinear, or a pair around nothing."""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.graph.load import all_nodes
from edgebig.lint.context import Context, finding, label
from edgebig.lint.quantized import dequantize_of, is_dequantize, is_quantize, qparams
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

NAME = "useless-pair"


def check(context: Context) -> Iterator[Finding]:
    """Find integers that become float and the same integers again."""
    for node in context.nodes:
        source = _undone(node)
        if source is not None:
            yield finding(
                NAME,
                Severity.SLOWER,
                node,
                "a DequantizeLinear and a QuantizeLinear of the same scale follow each other without an operator "
                "between them",
                detail=f"behind {label(source)!r}",
                advice="read the integers of the first where those of the second are read",
                fixable=not node.outputs[0].is_graph_output(),
            )


def fix(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Let readers of the second integers read the first."""
    count = 0
    for node in list(all_nodes(model)):
        source = _undone(node)
        if source is None or label(node) not in places or node.outputs[0].is_graph_output():
            continue
        integers = source.inputs[0]
        if integers is None or node.graph is None:
            continue
        node.outputs[0].replace_all_uses_with(integers)
        graph = node.graph
        graph.remove(node, safe=True)
        if not source.outputs[0].uses() and not source.outputs[0].is_graph_output():
            graph.remove(source, safe=True)
        count += 1
    return count


def _undone(node: ir.Node) -> ir.Node | None:
    """The DequantizeLinear that a QuantizeLinear undoes exactly."""
    if not is_quantize(node):
        return None
    source = dequantize_of(node.inputs[0])
    if not is_dequantize(source) or source is None or source.outputs[0] is not node.inputs[0]:
        return None
    first, second = qparams(source), qparams(node)
    if first is None or second is None or first.block_size or source.graph is not node.graph:
        return None
    return source if first.same_as(second) and (first.scale > 0).all() else None


RULE = Rule(
    NAME,
    check,
    source="ONNX: both nodes together are the identity on integers",
    fix=fix,
    repair="removed DequantizeLinear-QuantizeLinear pairs that undo each other",
)
