"""Values beyond the range: the calibration data were unlike these samples, or a method cut too much."""

import onnx_ir as ir

from edgebig.diagnose.causes.context import Context, number
from edgebig.diagnose.statistics import TensorFacts
from edgebig.records.diagnose import Cause

KIND = "clipped range"
SHARE = 0.01
# Rounding to 8 bits alone is rarely worse than this; cutting off a few large values is.
POOR_DB = 20.0


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """Name the tensor of which most is cut off."""
    worst: tuple[str, TensorFacts] | None = None
    for pair, facts in context.around(layer):
        if facts.grid is None or facts.masked or not _is_cut(facts, activated=pair.raw is None):
            continue
        if worst is None or facts.clipped_share > worst[1].clipped_share:
            worst = pair.name, facts
    if worst is None or worst[1].grid is None:
        return None
    name, facts = worst
    return Cause(
        kind=KIND,
        text=f"{facts.clipped_share:.2%} of {name} lie outside of {number(worst[1].grid.low)} to "
        f"{number(worst[1].grid.high)}: it reaches {number(facts.low)} to {number(facts.high)}",
    )


def _is_cut(facts: TensorFacts, *, activated: bool) -> bool:
    grid, quality = facts.grid, facts.rounded.sqnr_db
    if grid is None or not facts.clipped or quality is None:
        return False
    beyond = max(facts.high - grid.high, 0.0 if activated else grid.low - facts.low) > 0.1 * grid.span
    return beyond and (facts.clipped_share > SHARE or quality < POOR_DB)
