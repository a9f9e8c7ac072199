"""Which layers may be pruned, and why the others are left alone."""

import difflib
import fnmatch
from collections.abc import Sequence

import onnx_ir as ir

from edgebig.errors import InvalidModelError, UsageError
from edgebig.graph.load import describe_source
from edgebig.prune.layers import Layer
from edgebig.prune.patterns import Pattern
from edgebig.prune.ranking import kept_at_least

QUANTIZED = frozenset(
    {
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "MatMulNBits"),
        *("QLinearConv", "QLinearMatMul", "QGemm", "QAttention", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"),
    }
)
EXCLUDED = "excluded by name"


def check_not_quantized(model: ir.Model) -> None:
    """Refuse a quantized model.

    Raises:
        InvalidModelError: It holds quantized operators; the message names the first.
    """
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.op_type in QUANTIZED:
            raise InvalidModelError(
                f"{describe_source(model)} is quantized: node {node.name!r} is a {node.op_type}. "
                f"Prune the float model it was made from, then quantize the result."
            )


def reasons_to_skip(
    layers: Sequence[Layer], pattern: Pattern, *, include_ends: bool, exclude: Sequence[str]
) -> dict[int, str]:
    """Why layers are not pruned, by their index; layers that may be pruned are missing.

    Raises:
        UsageError: A name to exclude matches no layer.
    """
    excluded = _excluded(layers, exclude)
    reasons = {}
    for layer in layers:
        if reason := _reason(layer, pattern, include_ends, layer.index in excluded):
            reasons[layer.index] = reason
    return reasons


def check_anything_left(model: ir.Model, layers: Sequence[Layer], reasons: dict[int, str]) -> None:
    """Refuse a model without a layer to prune.

    Raises:
        InvalidModelError: There is none; the message gives the reasons.
    """
    if len(reasons) < len(layers):
        return
    examples: dict[str, str] = {}
    for layer in layers:
        examples.setdefault(reasons[layer.index], layer.name)
    said = "; ".join(f"{name!r}: {reason}" for reason, name in list(examples.items())[:4])
    found = f"None of its {len(layers)} layers with weights may be pruned. {said}."
    if not layers:
        found = "Its graph has no Conv, ConvTranspose, Gemm or MatMul with constant weights."
        if any(value.name in model.graph.initializers for value in model.graph.inputs):
            found += " Its initializers are inputs too: make them constant with edgebig optimize --freeze-inputs."
    raise InvalidModelError(f"{describe_source(model)} has nothing to prune. {found}")


def _reason(layer: Layer, pattern: Pattern, include_ends: bool, excluded: bool) -> str:
    if layer.fixed:
        return layer.fixed
    if excluded:
        return EXCLUDED
    if refused := pattern.refuse(layer.weighted):
        return refused
    blocks = pattern.blocks(layer.shape[1])
    if blocks <= kept_at_least(blocks, 0.0):
        return f"too narrow: {layer.shape[1]} inputs make one block, which must stay"
    if not include_ends and (layer.first or layer.last):
        return f"the {'first' if layer.first else 'last'} layer (--include-ends prunes it)"
    return ""


def _excluded(layers: Sequence[Layer], names: Sequence[str]) -> set[int]:
    by_name: dict[str, set[int]] = {}
    for layer in layers:
        for name in (layer.weighted.weight.name or "", *(site.weighted.name for site in layer.sites)):
            by_name.setdefault(name, set()).add(layer.index)
    found: set[int] = set()
    for pattern in names:
        matches = [pattern] if pattern in by_name else fnmatch.filter(by_name, pattern)
        if not matches:
            near = difflib.get_close_matches(pattern, by_name, n=3, cutoff=0.4) or list(by_name)[:3]
            raise UsageError(f"exclude: no layer or weight is called {pattern!r}. Near to it: {', '.join(near)}.")
        found.update(index for match in matches for index in by_name[match])
    return found
