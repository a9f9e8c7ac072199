"""An additive attention mask (-10000, -1e9, the float minimum) inside the range of a quantized tensor."""

import onnx_ir as ir

from edgebig.diagnose.causes.context import Context, number
from edgebig.diagnose.statistics import MASK_LEVEL
from edgebig.records.diagnose import Cause

KIND = "mask in range"


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """Say how wide the step is that the mask leaves for the numbers that count."""
    for pair, facts in context.around(layer):
        grid = facts.grid
        if grid is None or facts.floor > MASK_LEVEL or grid.low > MASK_LEVEL / 2 or not facts.span:
            continue
        if facts.masked and grid.scale > facts.span / 64:
            return Cause(
                kind=KIND,
                text=f"the mask of {number(facts.floor)} is in the range of {pair.name}: its step is "
                f"{number(grid.scale)}, the numbers that count lie in {number(facts.low)} to {number(facts.high)}",
            )
    return None
