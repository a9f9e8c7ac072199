"""Samples unlike those of the calibration: another scaling of the inputs, or inputs that never change."""

from edgebig.diagnose.causes.context import Context, number
from edgebig.diagnose.pair import Pair
from edgebig.diagnose.statistics import TensorFacts
from edgebig.records.diagnose import Cause

KIND = "preprocessing"
TIMES = 8.0
MANY = 0.2


def detect_inputs(context: Context) -> list[Cause]:
    """Compare each float input's numbers with the integers that it is stored in."""
    found = []
    for value in context.inspected.original.graph.inputs:
        pair = context.inspected.matching.pairs.get(value)
        facts = context.facts(pair) if pair is not None else None
        if pair is None or facts is None or not facts.count:
            continue
        text = _constant(facts) or _other_scaling(pair, facts)
        if text:
            found.append(Cause(kind=KIND, text=text))
    return found


def _constant(facts: TensorFacts) -> str:
    if facts.low != facts.high or facts.count < 2:
        return ""
    return f"input {facts.name} is {number(facts.low)} everywhere in these samples: nothing can be learnt from it"


def _other_scaling(pair: Pair, facts: TensorFacts) -> str:
    grid = facts.grid
    if grid is None or not facts.span:
        return ""
    seen = f"{number(facts.low)} to {number(facts.high)}"
    known = f"{number(grid.low)} to {number(grid.high)}"
    if facts.clipped_share > MANY or facts.span > TIMES * grid.span:
        hint = "; whole numbers up to 255 look like pixels that were not scaled" if _pixels(facts) else ""
        return (
            f"input {pair.name} lies in {seen}, the quantized model was calibrated for {known}: "
            f"{facts.clipped_share:.0%} are cut off{hint}"
        )
    if grid.span > TIMES * facts.span:
        return (
            f"input {pair.name} lies in {seen}, the quantized model was calibrated for {known}: "
            f"these samples are scaled differently, or it was calibrated on unscaled ones"
        )
    return ""


def _pixels(facts: TensorFacts) -> bool:
    return facts.integral and facts.low >= 0 and 2 < facts.high <= 255
