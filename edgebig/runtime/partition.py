"""Which nodes run together: the largest groups of nodes that kernels can run and that nothing else comes between.

A group may be one node of the new graph only if no path leaves it and comes back (it is convex). Nodes are visited in
topological order; a node joins the groups of its inputs unless one of them also reaches it from outside.
"""

from collections.abc import Iterable, Sequence

import onnx_ir as ir

from edgebig.runtime.lower.handlers import WORK
from edgebig.runtime.lower.parameters import is_constant_dequantize


def partition(nodes: Sequence[ir.Node], able: Iterable[ir.Node], ignored: Iterable[ir.Node]) -> list[list[ir.Node]]:
    """Group nodes into convex, connected segments.

    Args:
        nodes: All nodes of a graph, in topological order.
        able: Those that may be in a segment.
        ignored: Nodes that only depend on constants: they are no part of any path.

    Returns:
        The segments, each in topological order, in the order of their first nodes.
    """
    groups = _Groups()
    able, ignored = set(able), set(ignored)
    for node in nodes:
        if node in ignored:
            continue
        sources = [p for p in _producers(node) if p not in ignored]
        groups.visit(node, sources, node in able)
    return groups.members()


def working_groups(nodes: Sequence[ir.Node], able: Iterable[ir.Node]) -> list[list[ir.Node]]:
    """The segments that do more than move and convert numbers; arguments as for `partition`."""
    groups = partition(nodes, able, (node for node in nodes if is_constant_dequantize(node)))
    return [group for group in groups if any(node.op_type in WORK for node in group)]


def _producers(node: ir.Node) -> list[ir.Node]:
    found = [value.producer() for value in node.inputs if value is not None]
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            found += [value.producer() for inner in attribute.as_graph() for value in inner.inputs if value is not None]
    return [producer for producer in found if producer is not None]


class _Groups:
    """Union-find over groups, with the groups that reach each node from outside its own."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._group: dict[ir.Node, int] = {}
        # Groups from which a path leads to the node with some node in between that is not in that group.
        self._beyond: dict[ir.Node, frozenset[int]] = {}
        self._nodes: dict[int, list[ir.Node]] = {}
        # Union of `_beyond` over a group's nodes.
        self._before: dict[int, set[int]] = {}

    def visit(self, node: ir.Node, sources: Sequence[ir.Node], able: bool) -> None:
        direct = list(dict.fromkeys(self._root(self._group[s]) for s in sources if s in self._group))
        beyond = set().union(*(self._resolved(self._beyond[s]) for s in sources if s in self._beyond))
        joined: list[int] = []
        if able:
            for group in direct:
                if group not in beyond and all(self._apart(group, other) for other in joined):
                    joined.append(group)
        beyond |= {group for group in direct if group not in joined}
        if able:
            group = self._merge(joined) if joined else self._new()
            beyond = {g for g in (self._root(b) for b in beyond) if g != group}
            self._group[node] = group
            self._nodes[group].append(node)
            self._before[group] |= beyond
        else:
            beyond |= set(direct)
        self._beyond[node] = frozenset(beyond)

    def members(self) -> list[list[ir.Node]]:
        order = {node: index for index, node in enumerate(self._beyond)}
        groups = [sorted(nodes, key=order.__getitem__) for nodes in self._nodes.values() if nodes]
        return sorted(groups, key=lambda nodes: order[nodes[0]])

    def _apart(self, a: int, b: int) -> bool:
        """Whether no path leads from one group to the other through anything else."""
        return a not in self._resolved(self._before[b]) and b not in self._resolved(self._before[a])

    def _merge(self, groups: Sequence[int]) -> int:
        first, *others = groups
        for other in others:
            self._parent[other] = first
            self._nodes[first] += self._nodes.pop(other)
            self._before[first] |= self._before.pop(other)
        self._before[first] = {g for g in self._resolved(self._before[first]) if g != first}
        return first

    def _new(self) -> int:
        self._parent.append(len(self._parent))
        self._nodes[self._parent[-1]] = []
        self._before[self._parent[-1]] = set()
        return self._parent[-1]

    def _root(self, group: int) -> int:
        while self._parent[group] != group:
            group = self._parent[group]
        return group

    def _resolved(self, groups: Iterable[int]) -> set[int]:
        return {self._root(group) for group in groups}
