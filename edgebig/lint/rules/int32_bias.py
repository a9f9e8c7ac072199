"""A bias of int32 behind a DequantizeLinear, for targets that take biases in float alone."""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from edgebig.graph.edit import add_initializer, constant_array
from edgebig.graph.load import all_nodes
from edgebig.lint.context import Context, finding, label
from edgebig.lint.dequantized import dequantized_array
from edgebig.lint.quantized import is_constant, is_dequantize
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity
from edgebig.targets.base import Bias

NAME = "int32-bias"


def check(context: Context) -> Iterator[Finding]:
    """Find DequantizeLinear nodes that read constant int32."""
    if context.target.bias is not Bias.FLOAT:
        return
    for node in context.nodes:
        if _is_int32(node):
            readers = ", ".join(f"{use.node.op_type} {label(use.node)!r}" for use in node.outputs[0].uses())
            yield finding(
                NAME,
                Severity.REFUSED,
                node,
                f"a DequantizeLinear reads int32 (a bias), and {context.target.runtime} dequantizes 8-bit and smaller "
                f"types only",
                detail=f"bias of {readers}" if readers else "",
                advice="leave the bias in float",
                fixable=True,
            )


def fix(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Put the float numbers in the place of the DequantizeLinear."""
    count = 0
    for node in list(all_nodes(model)):
        if label(node) not in places or not _is_int32(node) or node.graph is None:
            continue
        array = dequantized_array(node)
        if array is None or not isinstance(node.graph, ir.Graph):
            continue
        output, graph = node.outputs[0], node.graph
        bias = add_initializer(graph, f"{output.name}_float", array)
        output.replace_all_uses_with(bias, replace_graph_outputs=False)
        graph.remove(node, safe=True)
        count += 1
    return count


def _is_int32(node: ir.Node) -> bool:
    if not is_dequantize(node) or not is_constant(node.inputs[0]):
        return False
    array = constant_array(node.inputs[0])
    return array is not None and array.dtype == np.int32 and not node.outputs[0].is_graph_output()


RULE = Rule(
    NAME, check, source="bias", fix=fix, repair="wrote biases in float instead of int32 behind DequantizeLinear"
)
