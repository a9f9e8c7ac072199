"""Is this a graph at all: every value is defined, every operator exists.

Operators are those of onnx and of the installed onnxruntime, and the model's own functions.
"""

import itertools
from functools import cache

import onnx
import onnx_ir as ir

from edgebig.errors import InvalidModelError


@cache
def known_operators() -> frozenset[tuple[str, str]]:
    """(domain, op_type) of every operator that onnx defines or the installed onnxruntime registers."""
    known = {(schema.domain, schema.name) for schema in onnx.defs.get_all_schemas()}
    try:
        from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema
    except ImportError:
        return frozenset(known)
    return frozenset(known | {(schema.domain, schema.name) for schema in get_all_operator_schema()})


def check_operators(model: ir.Model, where: str) -> None:
    """Refuse operators that no registered domain has.

    Args:
        model: The model.
        where: Its name, for messages.

    Raises:
        InvalidModelError: An operator is unknown; the message names the node, the operator and its domain.
    """
    functions = {(domain, name) for domain, name, _ in model.functions}
    bodies: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for node in itertools.chain.from_iterable(ir.traversal.RecursiveGraphIterator(body) for body in bodies):
        key = ("" if node.domain == "ai.onnx" else node.domain, node.op_type)
        if key not in known_operators() and key not in functions:
            raise InvalidModelError(
                f"{where}: node {node.name!r} uses the operator {node.op_type!r} of domain "
                f"{node.domain or 'ai.onnx'!r}, which neither onnx {onnx.__version__} nor the installed onnxruntime "
                f"knows, and the model defines no function of that name. Export the model with standard operators."
            )


def check_values(model: ir.Model, where: str) -> None:
    """Refuse values that are read and that nothing defines.

    Args:
        model: The model.
        where: Its name, for messages.

    Raises:
        InvalidModelError: A node's input is no output of a node, no input of a graph, and no initializer.
    """
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        for value in node.inputs:
            if value is None or value.producer() is not None or value.is_graph_input() or value.is_initializer():
                continue
            raise InvalidModelError(
                f"{where}: node {node.name!r} ({node.op_type}) reads the value {value.name!r}, which nothing defines. "
                f"The file is damaged, or holds sparse initializers, which are not supported."
            )
