"""The float model as every scheme starts from it, and what is known of it on one real sample."""

from dataclasses import dataclass

import onnx_ir as ir

from edgebig.data.feeds import Feed
from edgebig.graph.edit import working_copy
from edgebig.graph.opset import MINIMUM_OPSET, opset_version, raise_opset
from edgebig.graph.shapes import infer_shapes
from edgebig.quantize.checks import check_not_quantized
from edgebig.quantize.exclude import node_name
from edgebig.quantize.normalize import normalize
from edgebig.quantize.shapes import shapes_on, stated_shapes
from edgebig.quantize.unit import Facts
from edgebig.targets import Target


@dataclass(frozen=True)
class Prepared:
    """A float model to be quantized.

    Attributes:
        model: A copy of the user's: opset raised where needed, shapes inferred, every node of the top-level graph
            under a name of its own. It is not changed any more; copy it (`edgebig.graph.edit.working_copy`) to write.
        facts: What is known of it.
        notes: What the user should know.
    """

    model: ir.Model
    facts: Facts
    notes: tuple[str, ...]


def prepare(original: ir.Model, feed: Feed | None, target: Target) -> Prepared:
    """Make a float model ready for any scheme.

    Args:
        original: The user's model; it stays as it is.
        feed: One sample, for shapes; None where there is none: sizes of dynamic axes are not known then.
        target: Where the result will run.

    Raises:
        InvalidModelError: It is quantized already, or its opset cannot be raised.
    """
    check_not_quantized(original)
    model = working_copy(original)
    notes = _raise_to_minimum(model)
    normalize(model)
    infer_shapes(model)
    _name_nodes(model.graph)
    shapes = shapes_on(model, feed) if feed is not None else stated_shapes(model)
    facts = Facts(target, shapes, opset_version(model) or MINIMUM_OPSET)
    return Prepared(model, facts, notes)


def _raise_to_minimum(model: ir.Model) -> tuple[str, ...]:
    """A scale per channel needs opset 13; below it onnxruntime writes files that no runtime loads."""
    before = opset_version(model)
    if before is not None and before >= MINIMUM_OPSET:
        return ()
    raise_opset(model, MINIMUM_OPSET)
    return (f"raised from opset {before} to {MINIMUM_OPSET}: older ones know no scale per channel",)


def _name_nodes(graph: ir.Graph) -> None:
    """Outputs get other names on the way; the nodes keep these, each its own."""
    taken: set[str] = set()
    nested = (node for inner in graph.subgraphs() for node in inner)
    for node in (*graph, *nested):
        name = node_name(node)
        free, count = name, 0
        while free in taken:
            count += 1
            free = f"{name}_{count}"
        taken.add(free)
        node.name = free
