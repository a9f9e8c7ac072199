"""Where a graph is cut for partial runs: few places, about equally far apart in work, where few bytes cross."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.cost import count_macs
from edgebig.graph.shapes import static_shape
from edgebig.graph.sizes import dynamic_axes, with_sizes

# One multiply-accumulate counts as this part of an element written, where work is estimated.
_MAC_WORK = 1 / 16


@dataclass(frozen=True)
class Cut:
    """A place between two nodes of the topological order.

    Attributes:
        position: Index of the first node behind it.
        crossing: Names of the values that are known before it and read behind it, constants left out.
        bytes: What these take on the sample, the graph's inputs left out; None where a shape is not known.
    """

    position: int
    crossing: tuple[str, ...]
    bytes: int | None


@dataclass(frozen=True)
class CutGraph:
    """A graph's top-level nodes, and where to cut them.

    Attributes:
        nodes: The nodes in topological order.
        macs: Multiply-accumulates of each on the sample; those not known count as none.
        cuts: The first before all nodes, the last behind all.
    """

    nodes: tuple[ir.Node, ...]
    macs: tuple[int, ...]
    cuts: tuple[Cut, ...]

    def share_from(self, cut: int) -> float:
        """Share of the work behind a cut: of the multiply-accumulates, or of the nodes where those are not known."""
        whole = self.macs_from(0)
        return self.macs_from(cut) / whole if whole else 1 - self.cuts[cut].position / len(self.nodes)

    def macs_from(self, cut: int, to: int | None = None) -> int:
        """Multiply-accumulates between two cuts, by their indices."""
        end = None if to is None else self.cuts[to].position
        return sum(self.macs[self.cuts[cut].position : end])


def reads(node: ir.Node) -> set[ir.Value]:
    """The values that a node reads, those that its subgraphs capture included."""
    found = {value for value in node.inputs if value is not None}
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            inner = [attribute.as_graph()]
        else:
            inner = list(attribute.as_graphs()) if attribute.type == ir.AttributeType.GRAPHS else []
        for graph in inner:
            own = set(graph.inputs) | set(graph.initializers.values())
            for child in graph:
                found |= reads(child)
                own.update(child.outputs)
            found |= set(graph.outputs)
            found -= own
    return found


def constant_values(graph: ir.Graph) -> set[ir.Value]:
    """Values that depend on no input of the graph."""
    found = set(graph.initializers.values())
    for node in graph:
        if all(value in found for value in reads(node)):
            found.update(node.outputs)
    return found


def cut_graph(model: ir.Model, feed: Mapping[str, NDArray], segments: int) -> CutGraph:
    """Choose cuts.

    Args:
        model: The model, in topological order, with the dtypes of its values.
        feed: A sample, for shapes.
        segments: How many parts are wanted; there are fewer where there are not as many places.
    """
    nodes = tuple(model.graph)
    shapes = _shapes_on(model, feed)
    sized = tuple(shapes.graph)
    macs = tuple(count_macs(node) or 0 for node in sized)
    sizes = {value.name: _bytes(value) for node in sized for value in node.outputs}
    places = _places(model.graph, nodes, sizes)
    work = np.cumsum([0.0, *(_work(node, count) for node, count in zip(sized, macs, strict=True))])
    chosen = _choose(places[1:-1], work, segments)
    return CutGraph(nodes, macs, (places[0], *chosen, places[-1]))


def _places(graph: ir.Graph, nodes: Sequence[ir.Node], sizes: Mapping[str | None, int | None]) -> list[Cut]:
    """All cuts whose crossing values can be fed: tensors of known dtype with a name. First and last always."""
    constants = constant_values(graph)
    last_read: dict[ir.Value, int] = {}
    for index, node in enumerate(nodes):
        for value in reads(node) - constants:
            last_read[value] = index
    inputs = [value for value in graph.inputs if value in last_read]
    crossing = list(inputs)
    places = [Cut(0, tuple(value.name or "" for value in inputs), 0)]
    for position, node in enumerate(nodes, start=1):
        crossing += [value for value in node.outputs if value in last_read and value not in constants]
        crossing = [value for value in crossing if last_read[value] >= position]
        if position == len(nodes) or all(_can_be_fed(value) for value in crossing):
            known = [0 if value in inputs else sizes.get(value.name) for value in crossing]
            total = None if any(size is None for size in known) else sum(size or 0 for size in known)
            places.append(Cut(position, tuple(value.name or "" for value in crossing), total))
    return places


def _choose(places: Collection[Cut], work: NDArray, segments: int) -> list[Cut]:
    """Near each equal share of the work, the place where the fewest bytes cross."""
    chosen: list[Cut] = []
    spacing = work[-1] / max(segments, 1)
    for index in range(1, segments):
        near = [place for place in places if abs(work[place.position] - index * spacing) <= spacing / 2]
        if near:
            best = min(near, key=lambda place: _width(place, abs(work[place.position] - index * spacing)))
            if not chosen or best.position > chosen[-1].position:
                chosen.append(best)
    return chosen


def _width(place: Cut, distance: float) -> tuple[float, int, float]:
    return (math.inf if place.bytes is None else place.bytes, len(place.crossing), distance)


def _can_be_fed(value: ir.Value) -> bool:
    return bool(value.name) and isinstance(value.type, ir.TensorType) and value.dtype != ir.DataType.STRING


def _work(node: ir.Node, macs: int) -> float:
    return 1.0 + macs * _MAC_WORK + sum(math.prod(static_shape(value) or (0,)) for value in node.outputs)


def _bytes(value: ir.Value) -> int | None:
    shape = static_shape(value)
    return None if shape is None or value.dtype is None else math.ceil(math.prod(shape) * value.dtype.itemsize)


def _shapes_on(model: ir.Model, feed: Mapping[str, NDArray]) -> ir.Model:
    """A clone with the shapes that follow from those of a sample."""
    sizes = {
        name: feed[value.name or ""].shape[axis]
        for name, places in dynamic_axes(model).items()
        for value, axis in places
        if value.name in feed
    }
    return with_sizes(model, sizes, default=1)[0]
