"""A Softmax or Sigmoid whose results are mostly below one step of their integers."""

import onnx_ir as ir

from edgebig.diagnose.causes.context import Context, number
from edgebig.records.diagnose import Cause

KIND = "softmax underflow"
POOR_DB = 20.0
OPS = ("Softmax", "Sigmoid", "LogSoftmax")


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """Look at the results in their own integers."""
    if layer.op_type not in OPS:
        return None
    facts = context.facts(context.results(layer)[0])
    quality = facts.rounded.typical_db if facts is not None else None
    overall = facts.rounded.sqnr_db if facts is not None else None
    if facts is None or facts.grid is None or quality is None or overall is None:
        return None
    if min(quality, overall) > POOR_DB:
        return None
    name = context.results(layer)[0].name
    return Cause(kind=KIND, text=f"a step of {number(facts.grid.scale)} is too coarse for {name}: {overall:.0f} dB")
