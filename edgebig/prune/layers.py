"""The layers of a model as pruning sees them: one weight with all its sites, and its place in the graph."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.graph.weights import WEIGHTED_OPS, WeightedNode, weighted_nodes
from edgebig.prune.sites import Site, find_site


@dataclasses.dataclass(frozen=True)
class Layer:
    """A weight and the nodes that use it.

    Attributes:
        index: Its place in the graph's order of layers.
        sites: The nodes.
        level: How many layers lie above it on the longest way from the inputs.
        above: The layers (as bits, 1 << index) that its inputs, or the other operand of its sum, depend on.
        first: No layer lies above it.
        last: No layer lies below it.
        fixed: Why its weight cannot be changed at all; empty where it can.
    """

    index: int
    sites: tuple[Site, ...]
    level: int
    above: int
    first: bool
    last: bool
    fixed: str

    @property
    def weighted(self) -> WeightedNode:
        """The first site's node."""
        return self.sites[0].weighted

    @property
    def name(self) -> str:
        """The first site's name."""
        return self.weighted.name

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the weight's matrix."""
        array = self.weighted.weight.const_value
        assert array is not None  # by construction: a weighted node's weight is constant
        sizes = tuple(int(size) for size in array.shape.numpy())
        outputs = sizes[self.weighted.output_axis]
        return outputs, int(np.prod(sizes)) // outputs


def find_layers(model: ir.Model) -> tuple[Layer, ...]:
    """All layers of the top-level graph in its order; ends, levels and reasons included."""
    by_weight: dict[int, list[WeightedNode]] = {}
    for found in weighted_nodes(model.graph):
        by_weight.setdefault(id(found.weight), []).append(found)
    groups = list(by_weight.values())
    index_of = {weighted.node: index for index, group in enumerate(groups) for weighted in group}
    above, level = _dependencies(model.graph, index_of)
    used_below = 0
    for node in index_of:
        used_below |= _union(above, node)
    sites = _without_double_sums([[find_site(weighted) for weighted in group] for group in groups], level, index_of)
    layers = []
    for index, group in enumerate(groups):
        bits = 0
        for site in sites[index]:
            bits |= _union(above, site.weighted.node) | above.get(site.other or "", 0)
        layers.append(
            Layer(
                index=index,
                sites=tuple(sites[index]),
                level=min(level[weighted.node] for weighted in group),
                above=bits & ~(1 << index),
                first=any(_union(above, weighted.node) == 0 for weighted in group),
                last=not used_below >> index & 1,
                fixed=_fixed(group),
            )
        )
    return tuple(layers)


def layers_in_subgraphs(model: ir.Model) -> Iterator[ir.Node]:
    """Nodes of weighted kinds inside the bodies of If, Loop and Scan, which pruning leaves alone."""
    top = set(model.graph)
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node not in top and node.op_type in WEIGHTED_OPS and any(constant_array(v) is not None for v in node.inputs):
            yield node


def _dependencies(graph: ir.Graph, index_of: dict[ir.Node, int]) -> tuple[dict[str, int], dict[ir.Node, int]]:
    """Which layers (as bits) every value depends on, and the level of every layer's node."""
    above: dict[str, int] = {}
    depth: dict[str, int] = {}
    level: dict[ir.Node, int] = {}
    for node in graph:
        bits, deep = _union(above, node), max((depth.get(name, 0) for name in _reads(node)), default=0)
        if node in index_of:
            level[node] = deep
            bits, deep = bits | 1 << index_of[node], deep + 1
        for value in node.outputs:
            above[value.name or ""], depth[value.name or ""] = bits, deep
    return above, level


def _union(above: dict[str, int], node: ir.Node) -> int:
    bits = 0
    for name in _reads(node):
        bits |= above.get(name, 0)
    return bits


def _reads(node: ir.Node) -> list[str]:
    """Names of the values that a node reads, in its subgraphs too."""
    names = [value.name or "" for value in node.inputs if value is not None]
    for attribute in node.attributes.values():
        graphs = [attribute.as_graph()] if attribute.type == ir.AttributeType.GRAPH else []
        graphs += attribute.as_graphs() if attribute.type == ir.AttributeType.GRAPHS else []
        for graph in graphs:
            inner = ir.traversal.RecursiveGraphIterator(graph)
            names += [value.name or "" for child in inner for value in child.inputs if value is not None]
            names += [value.name or "" for value in graph.outputs]
    return names


def _without_double_sums(
    sites: list[list[Site]], level: dict[ir.Node, int], index_of: dict[ir.Node, int]
) -> list[list[Site]]:
    """Let only the layer that is fitted last look at a sum: two that did would both make good the same loss."""
    latest: dict[str, tuple[int, int]] = {}

    def when(site: Site) -> tuple[int, int]:
        return level[site.weighted.node], index_of[site.weighted.node]

    for site in (site for group in sites for site in group):
        if site.total is not None:
            latest[site.total] = max(latest.get(site.total, (-1, -1)), when(site))

    def keep(site: Site) -> Site:
        if site.total is None or latest[site.total] == when(site):
            return site
        return dataclasses.replace(site, total=None, other=None)

    return [[keep(site) for site in group] for group in sites]


def _fixed(group: list[WeightedNode]) -> str:
    first = group[0]
    node = first.node
    if node.op_type == "MatMul" and first.array().ndim > 2:
        return "batched: its weight is a stack of matrices"
    if node.op_type == "ConvTranspose":
        if first.groups > 1:
            return "a grouped transposed convolution"
        if "output_shape" in node.attributes or node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
            return "a transposed convolution with a computed padding"
    for weighted in group:
        if reason := _computed_bias(weighted):
            return reason
        if _kind(weighted) != _kind(first):
            return "its weight is shared by nodes that read it in different ways"
    nodes = {weighted.node for weighted in group}
    for use in first.weight.uses():
        if use.node not in nodes:
            return f"its weight is also read by {use.node.op_type} {use.node.name!r}"
    return "its weight is also an output" if first.weight.is_graph_output() else ""


def _computed_bias(weighted: WeightedNode) -> str:
    bias = weighted.bias
    if bias is None:
        return ""
    array = constant_array(bias)
    if array is None:
        return "its bias is computed"
    rows = weighted.node.op_type == "Gemm" and array.ndim == 2 and array.shape[0] != 1
    return "its bias differs between rows" if rows else ""


def _kind(weighted: WeightedNode) -> tuple[str, int, int, int]:
    return weighted.node.op_type, weighted.output_axis, weighted.groups, weighted.weight_index
