"""Operators that the target has no form of."""

from collections.abc import Iterator

from edgebig.lint.context import Context, finding
from edgebig.lint.quantized import STANDARD, is_dequantize, is_quantize
from edgebig.lint.rule import Rule
from edgebig.lint.rules.operator_form import FORMS
from edgebig.records.lint import Finding, Severity

NAME = "unsupported-operator"


def check(context: Context) -> Iterator[Finding]:
    """Find operators that are refused, or run on the CPU instead."""
    target = context.target
    closed = target.supported_ops is not None or bool(target.refused_ops)
    functions = {(domain, name) for domain, name, _ in context.model.functions}
    for node in context.nodes:
        if node.op_type in FORMS or node.op_type.startswith("QLinear") or is_quantize(node) or is_dequantize(node):
            continue  # what becomes of those, operator-form says
        standard = node.domain in STANDARD
        if not closed or (node.domain, node.op_type) in functions or (standard and not target.lacks(node.op_type)):
            continue
        name = node.op_type if standard else f"{node.domain}.{node.op_type}"
        if target.falls_back:
            yield finding(
                NAME,
                Severity.SLOWER,
                node,
                f"{target.name} has no {name}: it runs on the CPU, with copies to it and back",
                advice="replace it by operators that the target has, or keep it at the ends of the model",
            )
        else:
            yield finding(
                NAME,
                Severity.REFUSED,
                node,
                f"{target.name} has no {name}",
                advice="replace it by standard operators (export without onnxruntime's optimisation), or load a plugin "
                "for it",
            )


RULE = Rule(NAME, check, source="refused_ops")
