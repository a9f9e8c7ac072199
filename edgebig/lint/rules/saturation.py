"""U8S8 on x86 without VNNI: pairs of 8-bit products are added in saturating 16 bits, and sums come out wrong.

The same file then has another accuracy on every processor. Whether it can happen follows from the weights alone: two
neighbours whose sum exceeds 128 overflow when both activations are 255. With samples the arithmetic is carried out on
the real activations. int8 activations (S8S8) are raised to uint8 by onnxruntime, and saturate more often.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from edgebig.graph.load import all_nodes
from edgebig.lint.context import Context, finding, label
from edgebig.lint.products import Product, products
from edgebig.lint.quantized import STANDARD, is_quantize, qparams, result_value
from edgebig.lint.rule import Rule
from edgebig.lint.rules.not_fused import missing_side
from edgebig.lint.saturation import Saturation, measure
from edgebig.lint.saturation_kernel import worst_case
from edgebig.lint.shift import shift_constant, shift_point
from edgebig.records.lint import Finding, Severity

NAME = "saturation"
TEXT = "8-bit products of this weight can leave the 16 bits in which processors without VNNI add them in pairs"

HELD_WEIGHTS = "weights of 7 bits, or pairs held within 128 (edgebig quantize from the float model: the fastest)"


def check(context: Context) -> Iterator[Finding]:
    """Find products that can saturate, and with samples how often they do."""
    if not context.target.saturating_pairs:
        return
    risky: dict[Product, np.ndarray] = {}
    for product in products(context.nodes):
        worst = _worst(product, context)
        if worst is not None and worst.any():
            risky[product] = worst
    measured = measure(list(risky), context) if context.samples is not None and risky else {}
    nothing = Saturation()
    for product in sorted(risky, key=lambda product: measured.get(product.node, nothing).sqnr_db):
        yield _finding(product, risky[product], measured.get(product.node))


def _finding(product: Product, worst: np.ndarray, measured: Saturation | None) -> Finding:
    channels = f"{np.count_nonzero(worst)} of {worst.size} output channels"
    at_worst = _in_steps(product, worst)
    detail = f"{channels}{f', at worst {at_worst:,.0f} steps of the result' if at_worst else ''}"
    severity, text = Severity.LOSES_ACCURACY, TEXT
    advice = HELD_WEIGHTS
    if measured is not None and not measured.changed:
        severity, text = Severity.NOTE, TEXT + ", which on the samples did not happen"
    elif measured is not None:
        text += ", and on the samples they do" + ("" if measured.matters else ", too little to matter")
        severity = severity if measured.matters else Severity.NOTE
        share = f"{measured.share:.2%}" if measured.share >= 1e-4 else "under 0.01%"
        most = f"the worst by {measured.worst_share:.1%} of the largest, {measured.sqnr_db:.0f} dB"
        detail = f"{share} of outputs change, {most}; {channels}"
    fixable = _is_private(product) and (measured is None or measured.matters)
    if severity is Severity.NOTE:
        advice = "nothing, where the samples stand for what will come"
    elif fixable:
        advice += "; or the weight as uint8, for which the sums are made in 32 bits, at a lower speed"
    return finding(NAME, severity, product.node, text, detail=detail, advice=advice, fixable=fixable)


def _worst(product: Product, context: Context) -> np.ndarray | None:
    """The most every channel's sum can lose; None where the product does not run in 16-bit pairs."""
    if product.activation is None or product.is_depthwise or _dtype(product.weight) is not ir.DataType.INT8:
        return None
    if product.node.domain in STANDARD and product.dequantize is not None and missing_side(product.node, context):
        return None
    if product.activation.dtype is ir.DataType.INT8 and _readers(product.activation) > 1:
        return None  # onnxruntime raises int8 to uint8 only where a pair has one reader; the others stay in float
    rows = product.rows()
    return None if rows is None else worst_case(rows)


def _readers(integers: ir.Value) -> int:
    return sum(len(use.node.outputs[0].uses()) for use in integers.uses())


def _in_steps(product: Product, worst: np.ndarray) -> float:
    """The largest loss in steps of the quantized result; 0 where the result is float."""
    readers = [use.node for use in result_value(product.node).uses()]
    result = qparams(readers[0]) if readers and is_quantize(readers[0]) else None
    if result is None or product.activation_params is None or product.activation_params.scale.size != 1:
        return 0.0
    scale = float(product.activation_params.scale.reshape(-1)[0]) * product.weight_params.scale.reshape(-1)
    return float((worst * scale).max() / result.scale.reshape(-1)[0])


def _dtype(value: ir.Value) -> ir.DataType | None:
    return None if value.const_value is None else value.const_value.dtype


def fix(model: ir.Model, context: Context, places: frozenset[str]) -> int:
    """Store the weights as uint8, 128 higher."""
    count = 0
    for product in list(products(all_nodes(model))):
        dequantize = product.dequantize
        if dequantize is not None and label(product.node) in places and _is_private(product):
            shift_point(dequantize)  # first: without one its dtype is that of the integers
            shift_constant(dequantize)
            count += 1
    return count


def _is_private(product: Product) -> bool:
    dequantize = product.dequantize
    if dequantize is None or dequantize.inputs[0] is not product.weight or product.weight_params.zero_point.any():
        return False
    return len(product.weight.uses()) == 1 and len(dequantize.outputs[0].uses()) == 1


RULE = Rule(
    NAME, check, source="saturating_pairs", fix=fix, repair="stored weights as uint8, whose sums do not saturate"
)
