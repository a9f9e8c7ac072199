"""Gemm: integers in, integers or float out; both layouts of the weight."""

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.graph.weights import as_weighted
from edgebig.quantize.ops.base import handlers
from edgebig.quantize.ops.conv import write_weighted
from edgebig.quantize.unit import Facts, ScaleRule, Unit


@handlers.decorator("Gemm")
def gemm(node: ir.Node, facts: Facts) -> Unit | str:
    """Gemm with a constant second factor and a bias per output."""
    weighted = as_weighted(node)
    if weighted is None or weighted.weight_index != 1:
        return "its second factor is not a constant float tensor"
    if node.attributes.get_int("transA", 0):
        return "its first factor is transposed"
    bias = weighted.bias
    if bias is not None:
        array = constant_array(bias)
        if array is None or array.size not in (1, weighted.array().shape[weighted.output_axis]) or array.ndim > 2:
            return "its bias is not one constant per output"
        if array.ndim == 2 and array.shape[0] != 1:
            return "its bias is not one constant per output"
    return Unit(node, (0,), ScaleRule.OWN, float_output=True, write=write_weighted, weighted=weighted, bias=bias)
