"""One pair read by several operators, for targets that fuse a pair into the one operator behind it."""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.lint.context import Context, finding, label
from edgebig.lint.quantized import is_constant, is_dequantize, is_quantize
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

NAME = "shared-pair"


def check(context: Context) -> Iterator[Finding]:
    """Find QuantizeLinear of activations whose dequantized form has several readers."""
    if not context.target.pairs_per_consumer:
        return
    for node in context.nodes:
        readers = _readers(node)
        if len(readers) > 1:
            names = ", ".join(f"{reader.op_type} {label(reader)!r}" for reader, _ in readers[:3])
            more = f" and {len(readers) - 3} more" if len(readers) > 3 else ""
            yield finding(
                NAME,
                Severity.SLOWER,
                node,
                f"several operators share one QuantizeLinear-DequantizeLinear pair; {context.target.runtime} fuses a "
                "pair into the operator behind it, and may leave a shared one outside",
                detail=f"read by {names}{more}",
                advice="give each reader a pair of its own",
                fixable=True,
            )


def fix(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Copy the pair for all readers but the first."""
    count = 0
    for graph in model.graphs():
        for node in list(graph):
            readers = _readers(node) if label(node) in places else []
            for number, (reader, index) in enumerate(readers[1:], start=1):
                source = reader.inputs[index]
                dequantize = source.producer() if source is not None else None
                if dequantize is not None and dequantize.graph is graph:
                    reader.replace_input_with(index, _copy_pair(graph, node, dequantize, number))
                    count += 1
    return count


def _copy_pair(graph: ir.Graph, quantize: ir.Node, dequantize: ir.Node, number: int) -> ir.Value:
    integers = _copy(quantize, list(quantize.inputs), number)
    floats = _copy(dequantize, [integers.outputs[0], *dequantize.inputs[1:]], number)
    graph.insert_after(dequantize, [integers, floats])
    return floats.outputs[0]


def _copy(node: ir.Node, inputs: list[ir.Value | None], number: int) -> ir.Node:
    output = node.outputs[0]
    copy = ir.Node(
        node.domain, node.op_type, inputs, list(node.attributes.values()), name=f"{label(node)}_copy{number}"
    )
    copy.outputs[0].name = f"{output.name}_copy{number}"
    copy.outputs[0].type, copy.outputs[0].shape = output.type, output.shape
    return copy


def _readers(node: ir.Node) -> list[tuple[ir.Node, int]]:
    """Who reads the dequantized form of what a QuantizeLinear writes, and at which input."""
    if not is_quantize(node) or is_constant(node.inputs[0]):
        return []
    found: dict[tuple[ir.Node, int], None] = {}
    pairs = [use.node for use in node.outputs[0].uses() if is_dequantize(use.node)]
    for dequantize in pairs:
        uses = [use for use in dequantize.outputs[0].uses() if use.node.op_type != "Shape"]
        found |= {(use.node, use.idx): None for use in uses}
    return list(found)


RULE = Rule(
    NAME, check, source="pairs_per_consumer", fix=fix, repair="gave each reader of a shared pair a pair of its own"
)
