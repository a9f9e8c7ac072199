"""The first layer where the quantized model goes wrong: the SQNR falls far below that of all it reads."""

import math

import onnx_ir as ir

from edgebig.diagnose.inspected import label
from edgebig.diagnose.suspects import Suspects

# Better than this is as good as equal.
CEILING_DB = 45.0
# A tensor below this is wrong; one that lost this much in one layer went wrong there.
WRONG_DB, FALL_DB = 20.0, 8.0


def first_wrong(suspects: Suspects) -> str | None:
    """Name it, or the input that is stored too coarsely; None where the error grows without a jump, or stays small."""
    for value in suspects.inspected.original.graph.inputs:
        facts = suspects.facts.get(value.name or "")
        stored = facts.cumulative.sqnr_db if facts is not None else None
        if stored is not None and stored <= WRONG_DB:
            return value.name
    for layer in suspects.inspected.layers:
        own = suspects.cumulative_db(layer)
        if own is None or own > WRONG_DB or suspects.own_db(layer) > WRONG_DB + FALL_DB:
            continue
        if incoming_db(suspects, layer) - own >= FALL_DB:
            return label(layer)
    return None


def incoming_db(suspects: Suspects, layer: ir.Node) -> float:
    """The SQNR of the worst tensor that a layer reads."""
    found = [CEILING_DB]
    for pair in suspects.inputs(layer):
        facts = suspects.facts.get(pair.name)
        value = facts.cumulative.sqnr_db if facts is not None else None
        if value is not None:
            found.append(max(value, -CEILING_DB) if not math.isnan(value) else -CEILING_DB)
    return min(found)
