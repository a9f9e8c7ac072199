"""Conv and ConvTranspose: per-channel weights and an int32 bias (or a float one where the target wants that)."""

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.graph.weights import as_weighted
from edgebig.quantize.formats.qdq import QdqWriter
from edgebig.quantize.formats.weight_form import transposed_gemm
from edgebig.quantize.ops.base import handlers
from edgebig.quantize.unit import Facts, ScaleRule, Unit


@handlers.decorator("Conv")
def conv(node: ir.Node, facts: Facts) -> Unit | str:
    """Conv with a constant weight."""
    weighted = as_weighted(node)
    if weighted is None:
        return "its weight is not a constant float tensor"
    bias = weighted.bias
    if bias is not None and constant_array(bias) is None:
        return "its bias is not constant"
    outputs, inputs_per_group = weighted.array().shape[:2]
    depthwise = weighted.groups > 1 and inputs_per_group == 1 and outputs == weighted.groups
    products = weighted.array()[0].size
    few = inputs_per_group < facts.target.fewest_input_channels and products <= facts.target.float_products
    if few and not depthwise:
        return f"{products} products per output over {inputs_per_group} input channel(s): float is faster"
    return Unit(node, (0,), ScaleRule.OWN, float_output=False, write=write_weighted, weighted=weighted, bias=bias)


@handlers.decorator("ConvTranspose")
def conv_transpose(node: ir.Node, facts: Facts) -> Unit | str:
    """ConvTranspose with a constant weight [inputs, outputs / groups, ...]; groups share their scales."""
    weighted = as_weighted(node)
    if weighted is None:
        return "its weight is not a constant float tensor"
    bias = weighted.bias
    if bias is not None and constant_array(bias) is None:
        return "its bias is not constant"
    return Unit(node, (0,), ScaleRule.OWN, float_output=False, write=write_weighted, weighted=weighted, bias=bias)


def write_weighted(unit: Unit, writer: QdqWriter) -> None:
    """Write a Conv, ConvTranspose or Gemm: activation, weight and bias in integers."""
    assert unit.weighted is not None  # the handlers that use this writer set it
    activation = unit.node.inputs[0]
    unit.node.replace_input_with(0, writer.read(activation))
    unit.node.replace_input_with(unit.weighted.weight_index, writer.weight(unit, activation))
    if unit.bias is not None:
        unit.node.replace_input_with(2, writer.bias(unit, activation))
    if transposed_gemm(unit, writer.target):
        unit.node.attributes["transB"] = ir.AttrInt64("transB", 1)
    writer.finish(unit)
