"""Concats that one scale would ruin: inputs whose ranges lie far apart."""

from collections.abc import Mapping

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.quantize.plan import Plan

# Of 8 bits, at least 4 must be left to the input with the smallest range.
FARTHEST = 16.0
Range = tuple[float, float]


def mixed_concats(plan: Plan, ranges: Mapping[str, Range]) -> dict[str, float]:
    """Concats in integers whose inputs' ranges are farther apart than one scale can serve.

    Their inputs come as float then, each out of a scale of its own; an integer layer behind them still reads one scale.

    Args:
        plan: What would run in integers.
        ranges: Tensor name -> its range.

    Returns:
        Node name -> how many times larger the largest range is than the smallest.
    """
    found = {}
    for unit in plan.placement.units:
        if unit.node.op_type == "Concat":
            spans = [span for value in unit.inputs if (span := _span(value, ranges)) > 0]
            if spans and max(spans) > FARTHEST * min(spans):
                found[unit.node.name or ""] = max(spans) / min(spans)
    return found


def _span(value: ir.Value, ranges: Mapping[str, Range]) -> float:
    """Width of a tensor's range, 0 included; 0 where it is not known."""
    array = constant_array(value)
    if array is not None and array.size:
        return float(max(array.max(), 0.0) - min(array.min(), 0.0))
    low, high = ranges.get(value.name or "", (0.0, 0.0))
    return max(high, 0.0) - min(low, 0.0)
