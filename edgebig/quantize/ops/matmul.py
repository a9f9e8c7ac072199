"""MatMul: by a constant weight (with the bias added after it), or of two activations.

A vector left in float as the bias would make onnxruntime join MatMul and Add to a Gemm it has no integer kernel for,
and dequantize the weight on every run. As int32 behind a DequantizeLinear the same rewriting ends in an integer Gemm.
It does not rewrite more than two axes with dynamic sizes; there a float bias with as many axes as the product stays an
Add.
"""

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.graph.shapes import static_shape
from edgebig.graph.weights import as_weighted
from edgebig.quantize.formats.qdq import QdqWriter
from edgebig.quantize.ops.base import handlers, write_plain
from edgebig.quantize.unit import Facts, ScaleRule, Unit


@handlers.decorator("MatMul")
def matmul(node: ir.Node, facts: Facts) -> Unit | str:
    """MatMul; float results cost nothing, so a following float operator is no obstacle."""
    weighted = as_weighted(node)
    if weighted is None:
        if any(constant_array(value) is not None for value in node.inputs):
            return "its constant factor is not a float matrix"
        return Unit(node, (0, 1), ScaleRule.OWN, float_output=True, write=write_plain)
    if weighted.weight_index != 1 or weighted.array().ndim != 2:
        # A constant first factor, or a stack of matrices: kernels take one scale for it, as for an activation.
        return Unit(node, (0, 1), ScaleRule.OWN, float_output=True, write=write_plain, forced=True)
    adder, bias = _bias_after(node, weighted.array().shape[1])
    return Unit(
        node,
        (0,),
        ScaleRule.OWN,
        float_output=True,
        write=_write_matmul,
        weighted=weighted,
        bias=bias,
        bias_node=adder,
    )


def _bias_after(node: ir.Node, outputs: int) -> tuple[ir.Node | None, ir.Value | None]:
    """The Add of one constant per output that alone uses the product, and that constant."""
    product = node.outputs[0]
    uses = list(product.uses())
    if product.is_graph_output() or len(uses) != 1:
        return None, None
    adder = uses[0].node
    if adder.op_type != "Add" or adder.domain not in ("", "ai.onnx") or adder.graph is not node.graph:
        return None, None
    bias = adder.inputs[1 - uses[0].idx]
    array = constant_array(bias)
    if array is None or array.dtype != "float32" or array.size != outputs or array.shape[-1:] != (outputs,):
        return None, None
    return adder, bias


def _write_matmul(unit: Unit, writer: QdqWriter) -> None:
    activation = unit.node.inputs[0]
    unit.node.replace_input_with(0, writer.read(activation))
    unit.node.replace_input_with(1, writer.weight(unit, activation))
    if unit.bias_node is not None:
        rank = _rank_of_dynamic(activation)
        if rank > 2:
            name = f"{unit.bias_node.outputs[0].name}_bias"
            bias = writer.constant(name, writer.float_bias(unit).reshape((1,) * (rank - 1) + (-1,)))
        else:
            bias = writer.bias(unit, activation)
        slot = 1 if unit.bias_node.inputs[0] is unit.node.outputs[0] else 0
        unit.bias_node.replace_input_with(slot, bias)
    writer.finish(unit)


def _rank_of_dynamic(value: ir.Value | None) -> int:
    """The number of axes of a value of which one is dynamic; 0 where all are fixed, or nothing is known."""
    if value is None or value.shape is None or static_shape(value) is not None:
        return 0
    return len(value.shape)
