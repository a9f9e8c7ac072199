"""Operators that stay in float32 in a float16 model, and why."""

import onnx
import onnx_ir as ir

from edgebig.quantize.weight_only.source import STANDARD

_SUMS = "it sums over many values, which loses digits and overflows in float16"
_STEEP = "it magnifies rounding errors, or leaves float16's range"
# Softmax and the normalisations are not among them: their kernels sum in float32, whatever they read.
FLOAT_OPS = {
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceProd"), _SUMS),
    **dict.fromkeys(("ReduceLogSum", "ReduceLogSumExp", "CumSum", "GlobalLpPool", "LpNormalization"), _SUMS),
    **dict.fromkeys(("MeanVarianceNormalization", "LRN"), _SUMS),
    **dict.fromkeys(("Softplus", "Exp", "Log", "Pow", "Sqrt", "Reciprocal", "Mod", "Range", "Det"), _STEEP),
    **dict.fromkeys(("Sin", "Cos", "Tan", "Sinh", "Cosh"), _STEEP),
    **dict.fromkeys(("TopK", "RoiAlign", "NonMaxSuppression", "GridSample"), "it decides by small differences"),
    "Constant": "it is the output of a subgraph",
    **dict.fromkeys(("If", "Loop", "Scan", "SequenceMap"), "values that cross a subgraph's border keep their type"),
    **dict.fromkeys(
        ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"), "it is quantized, with scales in float32"
    ),
}
# Inputs that are float32 in every version of an operator, though its others may be float16.
FLOAT_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}
_HALF, _FLOAT = "tensor(float16)", "tensor(float)"


def float_reason(node: ir.Node, opset: int) -> str:
    """Why an operator stays in float32, by its kind and its schema; "" where it may be float16."""
    if node.domain not in STANDARD:
        return f"operators of domain {node.domain} stay in float"
    if node.op_type in FLOAT_OPS:
        return FLOAT_OPS[node.op_type]
    if node.op_type == "Cast" and node.inputs[0] is not None and node.inputs[0].dtype == ir.DataType.FLOAT16:
        return "it comes from float16 as it is"
    if "dtype" in node.attributes:
        return "it names the type of what it makes"
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError:
        return "its operator is unknown"
    allowed = {rule.type_param_str: rule.allowed_type_strs for rule in schema.type_constraints}
    for index, value in enumerate(node.inputs):
        if value is None or value.dtype != ir.DataType.FLOAT or index in FLOAT_INPUTS.get(node.op_type, ()):
            continue
        formal = schema.inputs[min(index, len(schema.inputs) - 1)].type_str
        if _HALF not in allowed.get(formal, (formal,)):
            return "it has no float16 form"
    for index, value in enumerate(node.outputs):
        formal = schema.outputs[min(index, len(schema.outputs) - 1)].type_str
        if value.dtype == ir.DataType.FLOAT and _HALF not in allowed.get(formal, (formal,)):
            return "it has no float16 form"
    return ""
