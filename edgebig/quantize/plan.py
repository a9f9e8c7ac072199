"""All that is decided before the samples are gone through: what runs in integers, and what must be observed for it."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgebig.data.feeds import Feed
from edgebig.graph.edit import working_copy
from edgebig.graph.opset import MINIMUM_OPSET, opset_version, raise_opset
from edgebig.graph.shapes import infer_shapes
from edgebig.quantize.checks import check_not_quantized, check_quantizable
from edgebig.quantize.coverage import plan_coverage
from edgebig.quantize.exclude import excluded_nodes, node_name
from edgebig.quantize.placement import Placement, place
from edgebig.quantize.shapes import shapes_on
from edgebig.quantize.tensors import Limits, useful_limits, wanted_means, wanted_ranges
from edgebig.quantize.unit import Facts, Unit
from edgebig.quantize.units import find_units
from edgebig.records.quantize import NodeCoverage
from edgebig.targets import Target


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        model: A copy of the float model, to be observed and then changed.
        placement: What runs in integers.
        nodes: What becomes of every node.
        sizes: Tensor name -> its bytes on the sample, of the tensors to observe.
        ranged: Names of those of them whose ranges are wanted.
        means: Weighted units whose input's means are wanted -> the input's name.
        limits: Tensor name -> limits beyond which its values need not be told apart.
        notes: What the user should know.
    """

    model: ir.Model
    placement: Placement
    nodes: tuple[NodeCoverage, ...]
    sizes: dict[str, int]
    ranged: tuple[str, ...]
    means: dict[Unit, str]
    limits: dict[str, Limits]
    notes: tuple[str, ...]


def make_plan(original: ir.Model, feed: Feed, target: Target, exclude: tuple[str, ...]) -> Plan:
    """Decide what runs in integers.

    Args:
        original: The float model; it stays as it is.
        feed: One sample, for shapes.
        target: Where the result will run.
        exclude: Names or globs of nodes that stay in float.

    Raises:
        InvalidModelError: It is quantized already, or nothing in it can be quantized.
        UsageError: A name of `exclude` fits no node.
    """
    check_not_quantized(original)
    model = working_copy(original)
    notes = _raise_to_minimum(model)
    infer_shapes(model)
    for node in model.graph:
        node.name = node_name(node)  # outputs get other names on the way; the node keeps this one
    facts = Facts(target, shapes_on(model, feed), opset_version(model) or MINIMUM_OPSET)
    candidates = find_units(model.graph, facts, excluded_nodes(model.graph, exclude))
    placement = place(candidates.units, facts)
    check_quantizable(original, placement, candidates)
    wanted = wanted_ranges(placement)
    means = wanted_means(placement)
    observed = dict.fromkeys((*wanted, *means.values()))
    return Plan(
        model=model,
        placement=placement,
        nodes=plan_coverage(model.graph, candidates, placement, facts),
        sizes={value.name or "": facts.elements(value) * np.dtype(np.float32).itemsize for value in observed},
        ranged=tuple(value.name or "" for value in wanted),
        means={unit: value.name or "" for unit, value in means.items()},
        limits=useful_limits(wanted, placement),
        notes=notes,
    )


def _raise_to_minimum(model: ir.Model) -> tuple[str, ...]:
    """A scale per channel needs opset 13; below it onnxruntime writes files that no runtime loads."""
    before = opset_version(model)
    if before is not None and before >= MINIMUM_OPSET:
        return ()
    raise_opset(model, MINIMUM_OPSET)
    return (f"raised from opset {before} to {MINIMUM_OPSET}: older ones know no scale per channel",)
