"""The names and readers of values, seen through changes of representation."""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.diagnose.carriers import carrier, scaled_result
from edgebig.diagnose.operators import DEQUANTIZE, DROPPED_OPS, EXPANDED_OPS, QUANTIZE, float_type

_SUFFIXES = ("_quantized", "_quant", "_QuantizeLinear_Output", "_output_quantized")


def names(value: ir.Value) -> Iterator[str]:
    """The names that a tensor may have had before it was quantized."""
    for candidate in dict.fromkeys((value, scaled_result(value))):
        name = candidate.name or ""
        yield name
        for suffix in _SUFFIXES:
            if name.endswith(suffix):
                yield name.removesuffix(suffix)
    for user, _ in value.uses():
        if user.op_type == DEQUANTIZE:
            yield user.outputs[0].name or ""


def readers(value: ir.Value) -> Iterator[ir.Node]:
    """The nodes that read a float value, through Identity too."""
    for user, _ in value.uses():
        if is_alias(user):
            yield from readers(user.outputs[0])
        else:
            yield user


def alike(value: ir.Value, original: ir.Value) -> bool:
    """Whether a value may stand for a float one of another name: the same operator, activations left out, or one
    that quantizers write as several nodes."""
    ours, theirs = value.producer(), original.producer()
    while ours is not None and theirs is not None:
        if theirs.op_type == float_type(ours) or theirs.op_type in EXPANDED_OPS:
            return True
        if theirs.op_type not in DROPPED_OPS or theirs.inputs[0] is None:
            return False
        theirs = carrier(theirs.inputs[0]).producer()
    return False


def is_alias(node: ir.Node | None) -> bool:
    return node is not None and bool(node.outputs) and carrier(node.outputs[0]) is not node.outputs[0]


def through_point(value: ir.Value, source: ir.Value) -> bool:
    """Whether a QuantizeLinear lies between a carrier and a value that represents it."""
    while value is not source:
        node = value.producer()
        if node is None:
            return False
        if node.op_type == QUANTIZE:
            return True
        value = next(v for v in node.inputs if v is not None and carrier(v) is source)
    return False
