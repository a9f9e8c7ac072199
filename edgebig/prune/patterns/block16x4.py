"""Blocks of 16 outputs x 4 inputs: what an int8 kernel skips whole (one vector of dot products)."""

from edgebig.graph.weights import WeightedNode
from edgebig.prune.patterns.base import Pattern, refuse_depthwise

ROWS, COLUMNS = 16, 4


def refuse(layer: WeightedNode) -> str | None:
    """Depthwise convolutions, and groups that a block would straddle."""
    if reason := refuse_depthwise(layer):
        return reason
    if layer.groups > 1 and (layer.array().shape[layer.output_axis] // layer.groups) % ROWS:
        return f"grouped: a block of {ROWS} outputs would span several groups, which have different inputs"
    return None


BLOCK16X4 = Pattern("block16x4", "blocks of 16 outputs x 4 inputs", ROWS, COLUMNS, refuse)
