"""The minimum cut against trying every cut."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edgebig.quantize.minimum_cut import Network

NODES = 6
edges = st.lists(st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1), st.integers(0, 9)), max_size=20)


def cost(side: set[int], network: list[tuple[int, int, int]]) -> int:
    return sum(capacity for tail, head, capacity in network if tail in side and head not in side)


@given(edges)
def test_the_cut_is_the_cheapest_and_its_source_side_the_smallest(network: list[tuple[int, int, int]]) -> None:
    built = Network()
    for _ in range(NODES - 2):
        built.add_node()
    for tail, head, capacity in network:
        built.add_edge(tail, head, capacity)
    side = built.source_side()
    others = range(2, NODES)
    sides = [{0, *chosen} for k in range(NODES - 1) for chosen in itertools.combinations(others, k)]
    best = min(cost(candidate, network) for candidate in sides)
    assert 0 in side and 1 not in side
    assert cost(side, network) == best
    assert all(side <= candidate for candidate in sides if cost(candidate, network) == best)
