"""A pair between a product and the Add behind it, for targets that would take the Add into the product's kernel."""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.graph.load import all_nodes
from edgebig.lint.context import Context, finding, label
from edgebig.lint.quantized import STANDARD, dequantize_of, is_quantize
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity
from edgebig.targets.base import Elementwise

NAME = "residual-pair"
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def check(context: Context) -> Iterator[Finding]:
    """Find Add nodes of two quantized tensors of which one comes straight from a product."""
    if context.target.elementwise is not Elementwise.RESIDUAL:
        return
    for node in context.nodes:
        index = _product_side(node)
        if index is not None:
            value = node.inputs[index]
            yield finding(
                NAME,
                Severity.SLOWER,
                node,
                "a pair stands between a product and the Add behind it, so that the Add cannot be taken into the "
                "product's kernel",
                detail=f"input {value.name if value is not None else ''!r}",
                advice="quantize the other input of the Add alone (the shortcut)",
                fixable=True,
            )


def fix(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Let the Add read the product's float result."""
    count = 0
    for node in list(all_nodes(model)):
        index = _product_side(node) if label(node) in places else None
        dequantize = dequantize_of(node.inputs[index]) if index is not None else None
        if index is None or dequantize is None or node.graph is None:
            continue
        quantize = dequantize.inputs[0].producer() if dequantize.inputs[0] is not None else None
        if quantize is None or quantize.inputs[0] is None:
            continue
        node.replace_input_with(index, quantize.inputs[0])
        for pair in (dequantize, quantize):
            node.graph.remove(pair, safe=True)
        count += 1
    return count


def _product_side(node: ir.Node) -> int | None:
    """The input of an Add that is a product's result behind a pair of its own; None where there is none such."""
    if node.op_type != "Add" or node.domain not in STANDARD or not all(map(dequantize_of, node.inputs)):
        return None
    for index, value in enumerate(node.inputs):
        dequantize = dequantize_of(value)
        quantize = dequantize.inputs[0].producer() if dequantize is not None and dequantize.inputs[0] else None
        if dequantize is None or quantize is None or not is_quantize(quantize) or quantize.graph is not node.graph:
            continue
        source = quantize.inputs[0]
        producer = source.producer() if source is not None else None
        private = len(dequantize.outputs[0].uses()) == len(quantize.outputs[0].uses()) == 1
        if private and producer is not None and producer.op_type in WEIGHTED:
            return index
    return None


RULE = Rule(
    NAME,
    check,
    source="elementwise",
    fix=fix,
    repair="took pairs out between products and the Add behind them",
    tolerance=0.05,
)
