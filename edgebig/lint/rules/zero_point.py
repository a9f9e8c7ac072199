"""Zero points other than 0, for targets whose quantization is symmetric."""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from edgebig.lint.context import Context, finding
from edgebig.lint.quantized import QParams, is_dequantize, is_quantize, qparams, stored_integers
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity

NAME = "zero-point"
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def check(context: Context) -> Iterator[Finding]:
    """Find pairs and weights with a zero point that shifting to int8 would not make 0."""
    target = context.target
    for node in context.nodes:
        if not is_quantize(node) and not is_dequantize(node):
            continue
        weight = is_dequantize(node) and stored_integers(node) is not None
        if is_dequantize(node) and not weight and is_quantize(node.inputs[0].producer() if node.inputs[0] else None):
            continue  # said at its QuantizeLinear
        if not (target.symmetric_weights if weight else target.symmetric_activations):
            continue
        if weight and not target.symmetric_activations and not _weighs(node):
            continue
        params = qparams(node)
        if params is None or params.dtype is ir.DataType.INT32 or not symmetric_when_signed(params).any():
            continue
        points = params.zero_point.reshape(-1)
        shown = str(int(points[0])) if points.size == 1 else f"{int(points.min())} .. {int(points.max())}"
        what = "constants" if weight else "activations"
        yield finding(
            NAME,
            Severity.REFUSED if target.symmetric_activations else Severity.SLOWER,
            node,
            f"{what} have a zero point other than that of a symmetric range, and {target.name} wants symmetric {what}",
            detail=f"{(params.dtype or ir.DataType.UNDEFINED).name.lower()}, zero point {shown}",
            advice=f"the integers cannot be converted without new scales: edgebig quantize --target {target.name} from "
            "the float model",
        )


def _weighs(node: ir.Node) -> bool:
    return any(use.node.op_type in WEIGHTED for use in node.outputs[0].uses())


def symmetric_when_signed(params: QParams) -> np.ndarray:
    """Where the zero point is not 0 after uint8 is shifted to int8."""
    return params.zero_point != (128 if params.dtype is ir.DataType.UINT8 else 0)


RULE = Rule(NAME, check, source="symmetric_activations")
