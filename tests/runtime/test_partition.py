"""Segments are convex and as large as they can be."""

from collections.abc import Sequence

import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.runtime.partition import partition


def graph_of(edges: dict[str, Sequence[str]]) -> list[ir.Node]:
    """Nodes in topological order; `edges` maps a node to the nodes it reads (none: a graph input)."""
    source = ir.Value(name="x")
    made: dict[str, ir.Node] = {}
    for name, sources in edges.items():
        made[name] = ir.Node("", "Op", [made[s].outputs[0] for s in sources] or [source], name=name)
    return list(made.values())


def names(segments: list[list[ir.Node]]) -> list[list[str]]:
    return [[node.name or "" for node in segment] for segment in segments]


def parts(edges: dict[str, Sequence[str]], able: str, ignored: str = "") -> list[list[str]]:
    nodes = graph_of(edges)
    by_name = {node.name: node for node in nodes}
    return names(partition(nodes, [by_name[n] for n in able], [by_name[n] for n in ignored]))


def test_a_chain_is_one_segment() -> None:
    assert parts({"a": "", "b": "a", "c": "b"}, "abc") == [["a", "b", "c"]]


def test_a_node_between_cuts_it() -> None:
    assert parts({"a": "", "b": "a", "c": "b"}, "ac") == [["a"], ["c"]]


def test_branches_that_meet_are_one_segment() -> None:
    assert parts({"a": "", "b": "a", "c": "a", "d": "bc"}, "abcd") == [["a", "b", "c", "d"]]


def test_a_way_round_through_another_node_keeps_the_ends_apart() -> None:
    # a -> d directly and a -> x -> d: with d in a's segment, x would come after and before it.
    assert parts({"a": "", "x": "a", "d": "ax"}, "ad") == [["a"], ["d"]]


def test_a_way_round_does_not_part_what_does_not_meet_again() -> None:
    assert parts({"a": "", "x": "a", "b": "a", "c": "b"}, "abc") == [["a", "b", "c"]]


def test_ignored_nodes_are_no_obstacle() -> None:
    assert parts({"w": "", "a": "", "b": "aw"}, "ab", "w") == [["a", "b"]]


@pytest.mark.parametrize("able", ["", "b"])
def test_few_or_no_able_nodes(able: str) -> None:
    assert parts({"a": "", "b": "a", "c": "b"}, able) == [[n] for n in able]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_random_graphs_give_convex_disjoint_segments(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 12))
    labels = [f"n{i}" for i in range(count)]
    edges = {
        label: data.draw(st.lists(st.sampled_from(labels[:i]), max_size=3, unique=True)) if i else []
        for i, label in enumerate(labels)
    }
    able = [label for label in labels if data.draw(st.booleans())]
    nodes = graph_of(edges)
    by_name = {node.name or "": node for node in nodes}
    segments = names(partition(nodes, [by_name[n] for n in able], []))
    assert sorted(n for segment in segments for n in segment) == sorted(able)
    for segment in segments:
        inside = set(segment)
        # What is reached from the segment through the outside must not feed the segment again.
        reached: set[str] = set()
        for label in labels:
            sources = set(edges[label])
            if label not in inside and sources & (inside | reached):
                reached.add(label)
            assert not (label in inside and sources & reached), (segment, label)
