"""What cannot be quantized, said before any work starts."""

import onnx_ir as ir

from edgebig.errors import InvalidModelError
from edgebig.graph.load import describe_source
from edgebig.quantize.exclude import node_name
from edgebig.quantize.placement import Placement
from edgebig.quantize.units import Candidates

QUANTIZED_OPS = frozenset(
    {
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"),
        *("ConvInteger", "MatMulInteger", "MatMulNBits", "QGemm", "QLinearAdd", "QLinearMul", "QAttention"),
        *("DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulIntegerToFloat", "GatherBlockQuantized"),
    }
)
_SHOWN = 4


def check_not_quantized(model: ir.Model) -> None:
    """Refuse a model that holds quantized operators.

    Raises:
        InvalidModelError: It does; the message names the first.
    """
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.op_type in QUANTIZED_OPS:
            raise InvalidModelError(
                f"{describe_source(model)} is quantized already: node {node_name(node)!r} is a {node.op_type}. "
                f"Quantize the float model it was made from."
            )


def check_quantizable(model: ir.Model, placement: Placement, candidates: Candidates) -> None:
    """Refuse a model in which no node with weights can run in integers.

    Raises:
        InvalidModelError: None can; the message gives reasons.
    """
    if any(unit.weighted is not None for unit in placement.units):
        return
    reasons: dict[str, ir.Node] = {}
    for node, reason in candidates.reasons.items():
        reasons.setdefault(f"{node.op_type}: {reason}", node)
    shown = "; ".join(f"{reason} (e.g. {node_name(node)!r})" for reason, node in list(reasons.items())[:_SHOWN])
    raise InvalidModelError(
        f"{describe_source(model)} has no Conv, Gemm or MatMul with weights that could run in integers. "
        f"{shown or 'Its graph has no such nodes'}."
    )
