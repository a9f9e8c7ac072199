"""Walks backwards through a graph, from a value to those that bound it."""

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True)
class Region:
    """The nodes between a value and its boundary.

    Attributes:
        nodes: The nodes, each behind those it reads from.
        boundary: The values where the walk stopped, constants left out.
    """

    nodes: tuple[ir.Node, ...]
    boundary: tuple[ir.Value, ...]


def region(value: ir.Value, stops: Callable[[ir.Value], bool]) -> Region:
    """What computes a value.

    Args:
        value: Where the walk starts; it does not stop there.
        stops: Whether the walk ends at a value. It also ends at inputs of the graph and at constants.
    """
    nodes: dict[ir.Node, None] = {}
    boundary: dict[ir.Value, None] = {}
    stack: list[tuple[ir.Value, bool]] = [(value, False)]
    while stack:
        current, done = stack.pop()
        node = current.producer()
        if done and node is not None:
            nodes.setdefault(node)
            continue
        if current is not value and current not in boundary and stops(current):
            boundary.setdefault(current)
        elif node is None:
            if not current.is_initializer():
                boundary.setdefault(current)
        elif node not in nodes and current not in boundary:
            stack.append((current, True))
            stack.extend((operand, False) for operand in reads(node))
    return Region(tuple(nodes), tuple(boundary))


def reads(node: ir.Node) -> list[ir.Value]:
    """The values a node reads, those that its branches take from outside included."""
    found = [value for value in node.inputs if value is not None]
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            inner = attribute.as_graph()
            own = {value for item in inner for value in item.outputs} | set(inner.inputs)
            own |= set(inner.initializers.values())
            values = [value for item in inner for value in reads(item)] + [v for v in inner.outputs if v is not None]
            found += [value for value in values if value not in own]
    return found
