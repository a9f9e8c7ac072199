"""Float32 on a strongly typed target: it runs in float32, since no flag of the builder makes it float16 any more."""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.lint.context import Context, finding
from edgebig.lint.quantized import is_dequantize
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

NAME = "precision"
HALF = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def check(context: Context) -> Iterator[Finding]:
    """Find files without a value in half precision."""
    if not context.target.strongly_typed:
        return
    values = [value for node in context.nodes for value in node.outputs]
    if any(value.dtype in HALF for value in values) or not any(value.dtype is ir.DataType.FLOAT for value in values):
        return
    quantized = any(is_dequantize(node) for node in context.nodes)
    runtime = context.target.runtime
    yield finding(
        NAME,
        Severity.SLOWER,
        None,
        f"{'what is not quantized' if quantized else 'the model'} is in float32, and {runtime} is strongly typed: "
        "without builder flags for float16 and without calibrators it runs in float32",
        advice="write the precision into the graph: float16 (edgebig quantize --scheme fp16), or QDQ",
    )


RULE = Rule(NAME, check, source="strongly_typed")
