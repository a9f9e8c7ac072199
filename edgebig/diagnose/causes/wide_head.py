"""An output of the model whose channels span orders of magnitude, quantized with one scale."""

import numpy as np
import onnx_ir as ir

from edgebig.diagnose.causes.context import Context, number
from edgebig.diagnose.operators import MOVING_OPS
from edgebig.diagnose.pair import Pair
from edgebig.records.diagnose import Cause

KIND = "wide output head"
TIMES = 100.0


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """Compare the channels of results that leave the model."""
    for pair in context.results(layer):
        facts = context.facts(pair)
        if facts is None or facts.grid is None or facts.peaks is None or not _leaves(pair):
            continue
        peaks = facts.peaks[facts.peaks > 0]
        if peaks.size > 1 and peaks.max() >= TIMES * peaks.min() and facts.grid.scale > peaks.min() / 4:
            return Cause(
                kind=KIND,
                text=f"the channels of {pair.name} reach {number(float(peaks.min()))} to {number(float(peaks.max()))} "
                f"with one step of {number(facts.grid.scale)}",
            )
    return None


def _leaves(pair: Pair) -> bool:
    """Whether a tensor is an output, moved at most."""
    stack, seen = [pair.original], set()
    while stack:
        value = stack.pop()
        if value.is_graph_output():
            return True
        seen.add(value)
        users = [user for user, _ in value.uses()]
        if np.all([user.op_type in MOVING_OPS or user.op_type == "Concat" for user in users]):
            stack += [out for user in users for out in user.outputs if out not in seen]
    return False
