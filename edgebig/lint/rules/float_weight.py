"""A QuantizeLinear on a constant: the file holds the float weight, and every load (or run) quantizes it again."""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.graph.edit import add_initializer, constant_array
from edgebig.graph.load import all_nodes
from edgebig.lint.context import Context, finding, label
from edgebig.lint.dequantized import quantized_array
from edgebig.lint.quantized import is_constant, is_quantize, qparams
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

NAME = "float-weight"


def check(context: Context) -> Iterator[Finding]:
    """Find constants that are quantized when the model runs."""
    for node in context.nodes:
        if not is_quantize(node) or not is_constant(node.inputs[0]):
            continue
        params = qparams(node)
        dtypes = (ir.DataType.INT8, ir.DataType.UINT8)
        foldable = params is not None and not params.block_size and params.dtype in dtypes
        yield finding(
            NAME,
            Severity.NOTE,
            node,
            "a QuantizeLinear reads a constant in float: the weight is four times larger than its integers",
            detail=f"constant {node.inputs[0].name!r}" if node.inputs[0] is not None else "",
            advice="store the integers",
            fixable=foldable and isinstance(node.graph, ir.Graph) and not node.outputs[0].is_graph_output(),
        )


def fix(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Put the integers in the place of the QuantizeLinear."""
    count = 0
    for node in list(all_nodes(model)):
        if not is_quantize(node) or label(node) not in places or not isinstance(node.graph, ir.Graph):
            continue
        array, params, source = constant_array(node.inputs[0]), qparams(node), node.inputs[0]
        integers = None if array is None or params is None else quantized_array(array, params)
        if integers is None or source is None or not is_constant(source):
            continue
        graph = node.graph
        stored = add_initializer(graph, f"{source.name}_quantized", integers)
        node.outputs[0].replace_all_uses_with(stored)
        graph.remove(node, safe=True)
        if source.is_initializer() and not source.uses() and not source.is_graph_output():
            graph.initializers.pop(source.name or "", None)
        count += 1
    return count


RULE = Rule(
    NAME, check, source="ONNX: QuantizeLinear of a constant is a constant", fix=fix, repair="stored weights as integers"
)
