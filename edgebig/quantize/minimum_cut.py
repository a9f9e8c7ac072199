"""The cheapest cut of a network between a source and a sink, by Dinic's algorithm (1970)."""

import math
from collections import deque
from collections.abc import Iterator

INFINITE = math.inf


class Network:
    """A directed network with capacities; node 0 is the source, node 1 the sink."""

    SOURCE, SINK = 0, 1

    def __init__(self) -> None:
        self._edges: list[list[int]] = [[], []]  # per node: indices of its edges
        self._heads: list[int] = []
        self._left: list[float] = []

    def add_node(self) -> int:
        """Add a node and return its number."""
        self._edges.append([])
        return len(self._edges) - 1

    def add_edge(self, tail: int, head: int, capacity: float) -> None:
        """Add an edge: it costs `capacity` to have `tail` on the source's side and `head` on the sink's."""
        for start, end, room in ((tail, head, capacity), (head, tail, 0.0)):
            self._edges[start].append(len(self._heads))
            self._heads.append(end)
            self._left.append(room)

    def source_side(self) -> set[int]:
        """The smallest set of nodes, the source among them, that a cheapest cut leaves on the source's side."""
        while (levels := self._levels())[self.SINK] >= 0:
            unused = [iter(edges) for edges in self._edges]
            while self._push(levels, unused):
                pass
        return {node for node, level in enumerate(self._levels()) if level >= 0}

    def _levels(self) -> list[int]:
        """Distance of every node from the source over edges with room; -1 where there is no way."""
        levels = [-1] * len(self._edges)
        levels[self.SOURCE] = 0
        queue = deque([self.SOURCE])
        while queue:
            node = queue.popleft()
            for edge in self._edges[node]:
                head = self._heads[edge]
                if levels[head] < 0 and self._left[edge] > 1e-9:
                    levels[head] = levels[node] + 1
                    queue.append(head)
        return levels

    def _push(self, levels: list[int], unused: list[Iterator[int]]) -> bool:
        """Push flow along one shortest way from source to sink; False where none is left at these levels."""
        path: list[int] = []
        node = self.SOURCE
        while node != self.SINK:
            for edge in unused[node]:
                head = self._heads[edge]
                if self._left[edge] > 1e-9 and levels[head] == levels[node] + 1:
                    path.append(edge)
                    node = head
                    break
            else:
                if not path:
                    return False
                node = self._heads[path.pop() ^ 1]
        flow = min(self._left[edge] for edge in path)
        for edge in path:
            self._left[edge] -= flow
            self._left[edge ^ 1] += flow
        return True
