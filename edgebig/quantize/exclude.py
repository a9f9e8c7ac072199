"""Nodes that a user wants left in float, by name or glob."""

import difflib
import fnmatch
from collections.abc import Sequence

import onnx_ir as ir

from edgebig.errors import UsageError


def node_name(node: ir.Node) -> str:
    """A node's name, or that of its first output where it has none."""
    return node.name or (node.outputs[0].name if node.outputs else None) or node.op_type


def excluded_names(graph: ir.Graph, patterns: Sequence[str]) -> set[str]:
    """The names of a graph's nodes that match one of the patterns.

    Raises:
        UsageError: A pattern matches no node; the message lists names near to it.
    """
    known = [node_name(node) for node in graph]
    found: set[str] = set()
    for pattern in patterns:
        names = [pattern] if pattern in known else fnmatch.filter(known, pattern)
        if not names:
            close = difflib.get_close_matches(pattern, known, n=3, cutoff=0.4) or known[:3]
            raise UsageError(f"exclude: no node is called {pattern!r}. Near to it: {', '.join(close)}.")
        found.update(names)
    return found
