"""Nodes that a user wants left in float, by name or glob."""

import difflib
import fnmatch
from collections.abc import Sequence

import onnx_ir as ir

from edgebig.errors import UsageError


def node_name(node: ir.Node) -> str:
    """A node's name, or that of its first output where it has none."""
    return node.name or (node.outputs[0].name if node.outputs else None) or node.op_type


def excluded_nodes(graph: ir.Graph, patterns: Sequence[str]) -> set[ir.Node]:
    """The nodes of a graph whose names match one of the patterns.

    Raises:
        UsageError: A pattern matches no node; the message lists names near to it.
    """
    by_name: dict[str, list[ir.Node]] = {}
    for node in graph:
        by_name.setdefault(node_name(node), []).append(node)
    found: set[ir.Node] = set()
    for pattern in patterns:
        names = [pattern] if pattern in by_name else fnmatch.filter(by_name, pattern)
        if not names:
            close = difflib.get_close_matches(pattern, by_name, n=3, cutoff=0.4) or list(by_name)[:3]
            raise UsageError(f"exclude: no node is called {pattern!r}. Near to it: {', '.join(close)}.")
        found.update(node for name in names for node in by_name[name])
    return found
