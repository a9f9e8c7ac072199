"""A range far wider than the values: calibrated on other data, most integers are never used."""

import onnx_ir as ir

from edgebig.diagnose.causes.context import Context, number
from edgebig.records.diagnose import Cause

KIND = "dead range"
TIMES = 8.0


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """Compare what the integers can be with what was seen."""
    for pair, facts in context.around(layer):
        if facts.grid is None or facts.masked or not facts.span or facts.grid.span < TIMES * facts.span:
            continue
        if layer.op_type in ("Softmax", "Sigmoid"):
            continue  # these have a range of their own, whatever the data
        return Cause(
            kind=KIND,
            text=f"{pair.name} is quantized for {number(facts.grid.low)} to {number(facts.grid.high)}, on these "
            f"samples it lies in {number(facts.low)} to {number(facts.high)}",
        )
    return None
