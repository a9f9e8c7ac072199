"""Float tensors at nodes of an accelerator for integers: the node runs on the CPU, with copies to it and back."""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.lint.context import Context, describe_value, finding, label
from edgebig.lint.quantized import (
    FLOATS,
    STANDARD,
    dequantize_of,
    float_users,
    is_dequantize,
    is_quantize,
    is_quantized_result,
    result_value,
)
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

NAME = "float-edge"
# Inputs beyond these are limits, sizes and fill values.
DATA_INPUTS = {"Clip": 1, "Resize": 1, "Upsample": 1, "Pad": 1}


def check(context: Context) -> Iterator[Finding]:
    """Find nodes with a float input or output."""
    target = context.target
    if not target.integer_only:
        return
    if not any(is_quantize(node) or is_dequantize(node) for node in context.nodes):
        yield finding(
            NAME,
            Severity.SLOWER,
            None,
            f"the model is not quantized (QDQ): {target.name} runs integers, and everything stays on the CPU",
            advice=f"edgebig quantize --target {target.name}",
        )
        return
    for node in context.nodes:
        if node.domain not in STANDARD or target.lacks(node.op_type) or not _computes_float(node):
            continue
        side = _float_side(node)
        if side:
            yield finding(
                NAME,
                Severity.SLOWER,
                node,
                f"a float tensor at a node: {target.name} runs whole units DequantizeLinear - operator - "
                "QuantizeLinear, and sends this node to the CPU",
                detail=side,
                advice=f"quantize that tensor too: edgebig quantize --target {target.name} from the float model",
            )


def _computes_float(node: ir.Node) -> bool:
    if is_quantize(node) or is_dequantize(node) or node.op_type in ("Constant", "Cast", "Shape"):
        return False
    value = node.outputs[0]
    # The clipping activation behind an operator belongs to its unit.
    producer = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    if producer is not None and result_value(producer) is value:
        return False
    return value.dtype in FLOATS


def _float_side(node: ir.Node) -> str:
    for value in list(node.inputs)[: DATA_INPUTS.get(node.op_type, len(node.inputs))]:
        if value is not None and value.dtype in FLOATS and dequantize_of(value) is None:
            return f"input {describe_value(value)} is float"
    value = result_value(node)
    if is_quantized_result(value):
        return ""
    if value.is_graph_output():
        return f"output {value.name!r} leaves the model in float"
    users = float_users(value)
    return f"output {value.name!r} goes to {users[0].op_type} {label(users[0])!r} in float" if users else ""


RULE = Rule(NAME, check, source="integer_only")
