"""All that is decided without samples: what runs in integers, and which tensors need a range for it."""

from collections.abc import Collection
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.graph.edit import working_copy
from edgebig.quantize.coverage import plan_coverage
from edgebig.quantize.placement import Placement, place
from edgebig.quantize.prepare import Prepared
from edgebig.quantize.units import Candidates, find_units
from edgebig.records.quantize import NodeCoverage


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        model: A copy of the float model, to be changed.
        candidates: What could run in integers.
        placement: What does.
        nodes: What becomes of every node.
    """

    model: ir.Model
    candidates: Candidates
    placement: Placement
    nodes: tuple[NodeCoverage, ...]


def make_plan(prepared: Prepared, excluded: Collection[str] = ()) -> Plan:
    """Decide what runs in integers.

    Args:
        prepared: The float model; it stays as it is.
        excluded: Names of nodes that stay in float.
    """
    model = working_copy(prepared.model)
    floats = {node for node in model.graph if node.name in excluded}
    candidates = find_units(model.graph, prepared.facts, floats)
    placement = place(candidates.units, prepared.facts)
    return Plan(model, candidates, placement, plan_coverage(model.graph, candidates, placement, prepared.facts))
