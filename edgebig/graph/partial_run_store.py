"""Float tensors at the cuts of a graph, kept per feed as far as a budget allows."""

from collections.abc import Mapping, Sequence

from numpy.typing import NDArray

State = dict[str, NDArray]


class CutStore:
    """Keeps what crosses the cuts.

    Args:
        budget: Bytes that all of it may take together.
        cuts: Indices of the cuts that are kept.
    """

    def __init__(self, budget: int, cuts: Sequence[int]) -> None:
        self.bytes = 0
        self._budget = budget
        self._cuts = frozenset(cuts)
        self._kept: dict[tuple[int, int], State] = {}

    def put(self, feed: int, cut: int, state: Mapping[str, NDArray]) -> None:
        """Keep a state where its cut is one to keep and the budget has room for it; else forget it."""
        size = sum(array.nbytes for array in state.values())
        if cut in self._cuts and self.bytes + size <= self._budget:
            self._kept[feed, cut] = dict(state)
            self.bytes += size

    def nearest(self, feed: int, cut: int) -> tuple[int, State]:
        """The last cut, at or before the one named, whose state is kept, and that state; else (0, nothing)."""
        for index in range(cut, 0, -1):
            if (feed, index) in self._kept:
                return index, self._kept[feed, index]
        return 0, {}


def cuts_to_keep(sizes: Sequence[int | None], budget: int) -> list[int]:
    """The cuts whose states fit a budget together, spread evenly: halves first, then quarters, and so on.

    Args:
        sizes: Bytes of each cut's state over all feeds; None where they are not known.
        budget: Bytes for all of them.
    """
    order: list[int] = []
    parts = [(0, len(sizes) - 1)]
    while parts:
        low, high = parts.pop(0)
        middle = (low + high) // 2
        if low < middle < high:
            order.append(middle)
            parts += [(low, middle), (middle, high)]
    if all(size is None for size in sizes[1:-1]):
        return sorted(order)  # the store stops at its budget
    kept, room = [], budget
    for index in order:
        size = sizes[index]
        if size is not None and size <= room:
            kept.append(index)
            room -= size
    return sorted(kept)
