"""Results that are shifted by a constant per channel, which a corrected bias takes back."""

import onnx_ir as ir

from edgebig.diagnose.causes.context import Context
from edgebig.records.diagnose import Cause

KIND = "mean shift"
SHARE = 0.5
POOR_DB = 30.0


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """See how much of the layer's own error is the mean of its channels."""
    if context.weighted_node(layer) is None:
        return None
    for pair in context.results(layer):
        facts = context.facts(pair)
        quality = facts.own.sqnr_db if facts is not None else None
        if facts is not None and quality is not None and quality < POOR_DB and facts.own.shift_share > SHARE:
            return Cause(
                kind=KIND,
                text=f"{facts.own.shift_share:.0%} of the error of {pair.name} is a constant shift of its channels",
            )
    return None
