"""Forms of quantization that the target does not have: QLinear operators, dynamic quantization, MatMulNBits, QDQ."""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.lint.context import Context, finding, label
from edgebig.lint.quantized import is_dequantize, is_quantize, stored_integers
from edgebig.lint.rule import Rule
from edgebig.records.lint import Finding, Severity
from edgebig.targets.base import Form

NAME, CONVOLUTION = "operator-form", "dynamic-convolution"
FORMS = {
    "DynamicQuantizeLinear": Form.DYNAMIC,
    "ConvInteger": Form.DYNAMIC,
    "MatMulInteger": Form.DYNAMIC,
    "DynamicQuantizeMatMul": Form.DYNAMIC,
    "MatMulIntegerToFloat": Form.DYNAMIC,
    "DynamicQuantizeLSTM": Form.DYNAMIC,
    "QGemm": Form.QOPERATOR,
    "MatMulNBits": Form.NBITS,
    "GatherBlockQuantized": Form.NBITS,
}
ADVICE = {
    Form.DYNAMIC: "quantize the float model statically (QDQ)",
    Form.QOPERATOR: "write QDQ instead: quantize_static(quant_format=QuantFormat.QDQ), or edgebig quantize",
    Form.NBITS: "write the weights as blocked DequantizeLinear (opset 21), or leave them in float16",
    Form.QDQ: "leave the float model in float16, or quantize its weights alone (MatMulNBits)",
}


def check(context: Context) -> Iterator[Finding]:
    """Find operators of a form that the target lacks."""
    target = context.target
    for node in context.nodes:
        form = Form.QOPERATOR if node.op_type.startswith("QLinear") else FORMS.get(node.op_type)
        if form is None or form in target.forms:
            continue
        severity, outcome = _outcome(context)
        text = f"{form.value} form ({node.op_type}), {outcome}"
        yield finding(NAME, severity, node, text, advice=ADVICE[form])
    pairs = [
        node for node in context.nodes if is_quantize(node) or (is_dequantize(node) and not _blocked(context, node))
    ]
    if pairs and Form.QDQ not in target.forms:
        yield finding(
            NAME,
            Severity.SLOWER,
            None,
            f"QDQ form, of which {target.name} fuses nothing: it computes in float and converts in between",
            detail=f"{len(pairs)} QuantizeLinear and DequantizeLinear, e.g. {label(pairs[0])!r}",
            advice=ADVICE[Form.QDQ],
        )


def _outcome(context: Context) -> tuple[Severity, str]:
    target = context.target
    if target.falls_back:
        return Severity.SLOWER, f"which {target.name} does not have: it runs on the CPU, with copies to it and back"
    return Severity.REFUSED, f"which {target.name} does not have"


def _blocked(context: Context, node: ir.Node) -> bool:
    """Whether a DequantizeLinear is the blocked weight that the target fuses."""
    has_form = Form.BLOCKED_DQ in context.target.forms
    return has_form and "block_size" in node.attributes and stored_integers(node) is not None


def check_convolutions(context: Context) -> Iterator[Finding]:
    """Find convolutions quantized dynamically, for which no CPU has a fast kernel."""
    if context.target.providers[0] != "CPUExecutionProvider":
        return
    for node in context.of_type("ConvInteger"):
        yield finding(
            CONVOLUTION,
            Severity.SLOWER,
            node,
            "a convolution quantized dynamically (ConvInteger): onnxruntime runs it at about a tenth of the speed of "
            "float",
            advice="quantize it statically, or leave it in float: quantize_dynamic(op_types_to_quantize=['MatMul'])",
        )


RULE = Rule(NAME, check, source="forms")
CONVOLUTION_RULE = Rule(CONVOLUTION, check_convolutions, source="forms")
