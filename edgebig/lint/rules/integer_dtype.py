"""Activations or weights in another integer dtype than the target's: refused by some, half as fast on others.

uint8 and int8 are the same integers 128 apart: converting moves integers and zero points, and changes no result.
"""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.graph.load import all_nodes
from edgebig.lint.context import Context, finding, label
from edgebig.lint.quantized import integer_dtype, is_constant, is_dequantize, is_quantize, qparams, stored_integers
from edgebig.lint.rule import Rule
from edgebig.lint.rules.zero_point import symmetric_when_signed
from edgebig.lint.shift import shift_constant, shift_point
from edgebig.records.lint import Finding, Severity

NAME = "integer-dtype"
EIGHT = {ir.DataType.UINT8: "uint8", ir.DataType.INT8: "int8"}
SIXTEEN = {ir.DataType.UINT16: "uint16", ir.DataType.INT16: "int16"}


def check(context: Context) -> Iterator[Finding]:
    """Find QuantizeLinear of activations, and dequantized weights, in a dtype that is not the target's best."""
    for node in context.nodes:
        if is_quantize(node) and not is_constant(node.inputs[0]):
            yield from _activation(node, context)
        elif is_dequantize(node) and stored_integers(node) is not None:
            yield from _weight(node, context)


def _activation(node: ir.Node, context: Context) -> Iterator[Finding]:
    target, dtype = context.target, integer_dtype(node)
    name = EIGHT.get(dtype) or SIXTEEN.get(dtype) if dtype is not None else None
    if name is None or name == target.activation_dtypes[0] or not target.int8_ops:
        return
    best = target.activation_dtypes[0]
    fixable = dtype in EIGHT and best in EIGHT.values() and _convertible(node) and _allowed(node, context)
    if name not in target.activation_dtypes:
        severity, text = _not_taken(name, context)
    elif not target.name.startswith("ort-cpu"):
        return  # others take all their dtypes alike
    else:
        severity = Severity.NOTE
        text = f"activations are {name}, which {target.name} takes; {best} is what its kernels are made for"
    advice = f"write them as {best}" + ("" if fixable else f": edgebig quantize --target {target.name}")
    yield finding(NAME, severity, node, text, advice=advice, fixable=fixable)


def _not_taken(name: str, context: Context) -> tuple[Severity, str]:
    target = context.target
    if not target.falls_back:
        return (
            Severity.REFUSED,
            f"activations are {name}, and {target.name} takes {' or '.join(target.activation_dtypes)}",
        )
    if name.endswith("16"):
        return Severity.NOT_FUSED, f"activations are {name}, for which {target.name} has no integer kernels"
    if name == "int8":
        return Severity.SLOWER, (
            "activations are int8 (S8S8, onnxruntime's default): its x86 kernels take uint8, so it converts the pairs "
            "with one reader and leaves the operators behind shared ones in float"
        )
    return Severity.SLOWER, f"activations are {name}; {target.name} is faster with {target.activation_dtypes[0]}"


def _weight(node: ir.Node, context: Context) -> Iterator[Finding]:
    target, dtype = context.target, integer_dtype(node)
    if dtype is not ir.DataType.UINT8 or not target.int8_ops or not is_constant(node.inputs[0]):
        return
    params = qparams(node)
    array = constant_array(node.inputs[0])
    if params is None or params.block_size or array is None or array.ndim < 2:
        return
    if target.symmetric_activations:
        severity, text = Severity.REFUSED, f"weights are uint8, and {target.name} takes int8"
    elif target.saturating_pairs:
        return  # deliberate there: uint8 with uint8 is the form that does not saturate
    elif target.symmetric_weights:
        severity, text = Severity.SLOWER, f"weights are uint8, and {target.name} is fastest with int8"
    else:
        return
    yield finding(
        NAME,
        severity,
        node,
        text,
        advice="write them as int8, 128 lower with a zero point 128 lower",
        fixable=_own(node) and not symmetric_when_signed(params).any(),
    )


def fix(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Shift integers and zero points by 128."""
    count = 0
    for node in list(all_nodes(model)):
        if label(node) not in places:
            continue
        if is_quantize(node) and _convertible(node):
            for part in (node, *(use.node for use in node.outputs[0].uses())):
                shift_point(part)
            dtype = integer_dtype(node)
            node.outputs[0].type = None if dtype is None else ir.TensorType(dtype)
            count += 1
        elif is_dequantize(node) and _own(node):
            shift_point(node)  # first: without one its dtype is that of the integers
            shift_constant(node)
            count += 1
    return count


def _convertible(node: ir.Node) -> bool:
    """Whether all that reads the integers is a DequantizeLinear with a constant zero point."""
    readers = [use.node for use in node.outputs[0].uses()]
    if not readers or node.outputs[0].is_graph_output() or "output_dtype" in node.attributes:
        return False
    return all(is_dequantize(reader) for reader in readers) and all(qparams(part) for part in (node, *readers))


def _allowed(node: ir.Node, context: Context) -> bool:
    params = qparams(node)
    return params is not None and not (context.target.symmetric_activations and symmetric_when_signed(params).any())


def _own(node: ir.Node) -> bool:
    """Whether a dequantized constant is read by DequantizeLinear nodes alone, so that it can be shifted."""
    value = node.inputs[0]
    return value is not None and all(use.node is node for use in value.uses()) and not value.is_graph_output()


RULE = Rule(
    NAME,
    check,
    source="activation_dtypes",
    fix=fix,
    repair="shifted integers and zero points by 128 between uint8 and int8",
)
