"""Inputs of very different ranges that a Concat forces to one scale: the small ones vanish."""

import onnx_ir as ir

from edgebig.diagnose.causes.context import Context, number
from edgebig.records.diagnose import Cause

KIND = "mixed-scale concat"
# The smallest input gets fewer steps than this.
FEW_STEPS = 8


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """Compare the ranges of a Concat's inputs with the step of its result."""
    if layer.op_type != "Concat":
        return None
    result = context.facts(context.results(layer)[0])
    known = [(pair, facts) for pair in context.suspects.inputs(layer) if (facts := context.facts(pair)) and facts.span]
    if result is None or result.grid is None or len(known) < 2:
        return None
    small, large = (choose(known, key=lambda item: item[1].span) for choose in (min, max))
    if small[1].span / result.grid.scale >= FEW_STEPS:
        return None
    return Cause(
        kind=KIND,
        text=f"{large[0].name} spans {number(large[1].span)} and {small[0].name} {number(small[1].span)}, one scale of "
        f"{number(result.grid.scale)} for both",
    )
