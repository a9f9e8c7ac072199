"""A node amid QDQ with one side in float: the runtime leaves all of it in float, and converts at both ends."""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.lint.context import Context, describe_value, finding, label
from edgebig.lint.quantized import (
    STANDARD,
    dequantize_of,
    float_users,
    is_constant,
    is_float,
    is_quantize,
    is_quantized_result,
    result_value,
    stored_integers,
)
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity
from edgebig.targets.base import Elementwise

NAME = "not-fused"
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# Inputs of other operators beyond these are shapes, indices, limits.
DATA_INPUTS = {"Add": 2, "Mul": 2, "Conv": 2, "ConvTranspose": 2, "Gemm": 2, "MatMul": 2, "Where": 3}


def check(context: Context) -> Iterator[Finding]:
    """Find nodes that have a DequantizeLinear on one side and miss its counterpart on another."""
    if context.target.integer_only:
        return  # there the node leaves the accelerator, which float-edge says
    for node in context.nodes:
        if node.domain not in STANDARD or not context.target.fuses(node.op_type):
            continue
        found = missing_side(node, context)
        if found is not None:
            text, detail = found
            yield finding(
                NAME,
                Severity.NOT_FUSED,
                node,
                text,
                detail=detail,
                advice="quantize that side too, or take the pairs off the others (edgebig quantize from the float "
                "model decides by cost)",
            )


def missing_side(node: ir.Node, context: Context) -> tuple[str, str] | None:
    """What misses a pair, in words, and which; None where all or no sides have one."""
    inputs = _data_inputs(node)
    covered = [dequantize_of(value) is not None for value in inputs]
    if not inputs or not any(covered):
        return None
    needs_result = context.target.quantize_results and node.op_type not in context.target.float_result_ops
    if node.op_type in WEIGHTED:
        return _weighted(node, inputs, covered, needs_result)
    if not all(covered):
        if not _ends_in_integers(node) or _is_residual(node, inputs, covered, context):
            return None  # a float operator behind an integer part: nobody meant it to run in integers
        return "an input is float while the result is quantized", describe_value(inputs[covered.index(False)])
    return None


def _is_residual(node: ir.Node, inputs: list[ir.Value], covered: list[bool], context: Context) -> bool:
    """Whether the one float input of an Add is the product that the target fuses the Add into."""
    if context.target.elementwise is not Elementwise.RESIDUAL or node.op_type != "Add":
        return False
    producers = [value.producer() for value, has_pair in zip(inputs, covered, strict=True) if not has_pair]
    return all(producer is not None and producer.op_type in WEIGHTED for producer in producers)


def _weighted(node: ir.Node, inputs: list[ir.Value], covered: list[bool], needs_result: bool) -> tuple[str, str] | None:
    if any(_blocked(value) for value in inputs):
        return None  # weights in blocks: the activation stays in float
    if not all(covered):
        place = covered.index(False)
        value = inputs[place]
        if node.op_type == "MatMul" and not any(_is_weight(factor) for factor in inputs):
            return "one factor is quantized and the other is float", describe_value(value)
        is_weight = _is_weight(value) if node.op_type == "MatMul" else place == 1
        if is_weight:
            return "the activation is quantized and the weight is float", describe_value(value)
        return "the weight is quantized and the activation is float", describe_value(value)
    if not needs_result or _ends_in_integers(node):
        return None
    value = result_value(node)
    if value.is_graph_output():
        return "the inputs are quantized and the result is not", f"{value.name!r} is an output of the model"
    readers = float_users(value)
    where = f"{value.name!r} goes to {readers[0].op_type} {label(readers[0])!r} in float" if readers else "unused"
    return "the inputs are quantized and the result is not", where


def _data_inputs(node: ir.Node) -> list[ir.Value]:
    count = len(node.inputs) if node.op_type == "Concat" else DATA_INPUTS.get(node.op_type, 1)
    return [value for value in list(node.inputs)[:count] if value is not None and is_float(value)]


def _is_weight(value: ir.Value) -> bool:
    dequantize = dequantize_of(value)
    return is_constant(value) if dequantize is None else stored_integers(dequantize) is not None


def _blocked(value: ir.Value) -> bool:
    dequantize = dequantize_of(value)
    return dequantize is not None and dequantize.attributes.get_int("block_size", 0) != 0


def _ends_in_integers(node: ir.Node) -> bool:
    """Whether all results are quantized, directly or behind a clipping activation or a constant's addition."""
    if any(is_quantize(use.node) for use in node.outputs[0].uses()) and is_quantized_result(node.outputs[0]):
        return True
    value = result_value(node)
    if is_quantized_result(value):
        return True
    uses = list(node.outputs[0].uses())
    if node.op_type != "MatMul" or len(uses) != 1 or uses[0].node.op_type != "Add":
        return False
    return is_quantized_result(result_value(uses[0].node))


RULE = Rule(NAME, check, source="fused_ops")
