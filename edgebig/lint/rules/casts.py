"""Casts back and forth between float dtypes, left where a float16 conversion and its exceptions meet."""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.graph.load import all_nodes
from edgebig.lint.context import Context, finding, label
from edgebig.lint.quantized import STANDARD
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

NAME = "cast-pair"
BITS = {ir.DataType.FLOAT16: 11, ir.DataType.BFLOAT16: 8, ir.DataType.FLOAT: 24, ir.DataType.DOUBLE: 53}
RANGES = {ir.DataType.FLOAT16: 5, ir.DataType.BFLOAT16: 8, ir.DataType.FLOAT: 8, ir.DataType.DOUBLE: 11}


def check(context: Context) -> Iterator[Finding]:
    """Find a Cast of a Cast that ends in the dtype it began with."""
    for node in context.nodes:
        source = _round_trip(node)
        if source is None:
            continue
        exact = _is_exact(source, node)
        middle = node.inputs[0].dtype if node.inputs[0] is not None else None
        yield finding(
            NAME,
            Severity.SLOWER if exact else Severity.LOSES_ACCURACY,
            node,
            f"a tensor is cast to {middle.name.lower() if middle else '?'} and back without an operator between"
            + ("" if exact else ", which rounds it"),
            detail=f"behind {label(source)!r}",
            advice="read the tensor before the first Cast" + ("" if exact else ", if the rounding is not wanted"),
            fixable=exact and not node.outputs[0].is_graph_output(),
        )


def fix(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Take both out."""
    count = 0
    for node in list(all_nodes(model)):
        if label(node) not in places or node.op_type != "Cast" or node.outputs[0].is_graph_output():
            continue
        value = node.inputs[0]
        source = value.producer() if value is not None else None
        origin = source.inputs[0] if source is not None and source.op_type == "Cast" else None
        if source is None or origin is None or source.graph is not node.graph or node.graph is None:
            continue
        node.outputs[0].replace_all_uses_with(origin)
        graph = node.graph
        graph.remove(node, safe=True)
        if not source.outputs[0].uses() and not source.outputs[0].is_graph_output():
            graph.remove(source, safe=True)
        count += 1
    return count


def _round_trip(node: ir.Node) -> ir.Node | None:
    """The first Cast of the two."""
    if node.op_type != "Cast" or node.domain not in STANDARD or node.inputs[0] is None:
        return None
    source = node.inputs[0].producer()
    if source is None or source.op_type != "Cast" or source.inputs[0] is None or source.graph is not node.graph:
        return None
    first, last = source.inputs[0].dtype, node.outputs[0].dtype
    return source if first is not None and first == last and first in BITS and node.inputs[0].dtype in BITS else None


def _is_exact(source: ir.Node, node: ir.Node) -> bool:
    outer = source.inputs[0].dtype if source.inputs[0] is not None else None
    inner = node.inputs[0].dtype if node.inputs[0] is not None else None
    if outer is None or inner is None:
        return False
    return BITS[inner] >= BITS[outer] and RANGES[inner] >= RANGES[outer]


RULE = Rule(NAME, check, source="IEEE 754: a wider format holds every number", fix=fix, repair="removed Cast pairs")
