"""Find each tensor of the float graph in the quantized one.

Both graphs are walked from their inputs. A node of the quantized graph stands for one of the float graph when both
are the same operator (or its integer twin) on tensors that were found to be the same; the name of the result decides
where it survived and nothing contradicts it, else the operands, and among several candidates the node's name and the
dequantized weights. A node with the right name and another operator (fused, or expanded) is taken when both are
computed from the same tensors. What is not found stays unmatched.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import onnx_ir as ir

from edgebig.diagnose.matcher import Walk
from edgebig.diagnose.naming import is_alias
from edgebig.diagnose.pair import Pair, pair_of
from edgebig.errors import InvalidModelError
from edgebig.graph.load import describe_source


@dataclass
class Matching:
    """The float graph's tensors, and which of them have a counterpart.

    Attributes:
        pairs: Float value -> its counterpart, in the float graph's order.
        unmatched: Float values computed from the inputs that have none.
    """

    pairs: dict[ir.Value, Pair] = field(default_factory=dict)
    unmatched: tuple[ir.Value, ...] = ()


def match_graphs(original: ir.Model, quantized: ir.Model) -> Matching:
    """Match two prepared models.

    Raises:
        InvalidModelError: They have other inputs or outputs, or nothing between them is the same.
    """
    check_interfaces(original, quantized)
    walk = Walk(original.graph, quantized.graph)
    walk.run()
    matching = _matching(walk)
    computed = [value for value in matching.pairs if value.producer() is not None]
    inner = [value for value in computed if not value.is_graph_output()]
    if not inner and len(original.graph) > 3 and matching.unmatched:
        raise InvalidModelError(
            f"{describe_source(quantized)} is no quantized version of {describe_source(original)}: none of the "
            f"{len(matching.unmatched)} tensors between inputs and outputs was found in it. Give the float model that "
            f"it was made from."
        )
    return matching


def check_interfaces(original: ir.Model, quantized: ir.Model) -> None:
    """Refuse models that differ in the names of inputs or outputs.

    Raises:
        InvalidModelError: They do; the message lists both.
    """
    for what, ours, theirs in (
        ("inputs", _free_inputs(original), _free_inputs(quantized)),
        ("outputs", original.graph.outputs, quantized.graph.outputs),
    ):
        first, second = ([value.name or "" for value in values] for values in (ours, theirs))
        if set(first) != set(second):
            raise InvalidModelError(
                f"{describe_source(quantized)} is no quantized version of {describe_source(original)}: its {what} are "
                f"{', '.join(second)}, those of the float model are {', '.join(first)}. Give the float model that it "
                f"was made from."
            )


def _free_inputs(model: ir.Model) -> list[ir.Value]:
    return [value for value in model.graph.inputs if value.name not in model.graph.initializers]


def _matching(walk: Walk) -> Matching:
    inverse = {original: (source, False) for source, original in walk.direct.items()}
    inverse |= {original: (source, True) for source, original in walk.behind.items()}
    result, unmatched = Matching(), []
    for value in _values(walk.original):
        if value in inverse:
            source, behind = inverse[value]
            before = not behind and source in walk.behind
            result.pairs[value] = pair_of(value, source, behind=behind, before=before)
        elif value not in walk.constants and value.name and not is_alias(value.producer()):
            unmatched.append(value)
    result.unmatched = tuple(unmatched)
    return result


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    for node in graph:
        yield from node.outputs
