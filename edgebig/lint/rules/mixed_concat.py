"""A Concat whose inputs have far smaller scales than its output: they keep few of their steps."""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.lint.context import Context, finding
from edgebig.lint.quantized import QParams, dequantize_of, is_quantize, qparams
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

NAME = "mixed-scale-concat"
# An input this many times finer than the output loses three bits.
FACTOR = 8.0


def check(context: Context) -> Iterator[Finding]:
    """Find quantized inputs of a Concat that its output's scale coarsens."""
    for node in context.of_type("Concat"):
        result = _result(node)
        if result is None:
            continue
        for value in node.inputs:
            source = dequantize_of(value)
            params = None if source is None else qparams(source)
            if params is None or params.scale.size != 1 or params.dtype is not result.dtype:
                continue
            factor = float(result.scale.reshape(-1)[0] / params.scale.reshape(-1)[0])
            if factor >= FACTOR:
                yield finding(
                    NAME,
                    Severity.LOSES_ACCURACY,
                    node,
                    "a Concat writes all inputs with one scale, and an input of much smaller values keeps few steps",
                    detail=f"input {value.name if value is not None else ''!r} keeps {256 / factor:.0f} of 256 steps",
                    advice="leave this Concat in float (edgebig quantize --exclude NODE), or give the activations 16 "
                    "bits where the target has them",
                )


def _result(node: ir.Node) -> QParams | None:
    readers = [use.node for use in node.outputs[0].uses()]
    params = qparams(readers[0]) if readers and is_quantize(readers[0]) else None
    return params if params is not None and params.scale.size == 1 else None


RULE = Rule(NAME, check, source="QuantizeLinear: one scale for the tensor that a Concat gives")
