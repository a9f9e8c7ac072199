"""Gelu written out, as exporters do: 0.5 * x * (1 + erf(x / sqrt 2)). Runtimes fuse it to one operator.

A pair of QuantizeLinear and DequantizeLinear between two of its nodes would break it up, so all of them stay float.
"""

from collections.abc import Iterator

import onnx_ir as ir

from edgebig.graph.edit import constant_array

PART_OF_GELU = "part of a Gelu, which runtimes fuse to one operator, and which loses much in 8 bits"


def gelu_nodes(graph: ir.Graph) -> set[ir.Node]:
    """The nodes of a graph that make up such Gelus, without the Erf."""
    found: set[ir.Node] = set()
    for node in graph:
        if node.op_type == "Erf":
            found.update(_members(node))
    return found


def _members(erf: ir.Node) -> Iterator[ir.Node]:
    source = _producer(erf.inputs[0])
    if source is not None and source.op_type in ("Div", "Mul") and _scales(source):
        yield source
    for plus_one in _readers(erf, "Add"):
        yield plus_one
        for product in _readers(plus_one, "Mul"):
            yield product
            around = [*(_producer(value) for value in product.inputs), *_readers(product, "Mul")]
            yield from (node for node in around if node is not None and node.op_type == "Mul" and _scales(node))


def _readers(node: ir.Node, op_type: str) -> list[ir.Node]:
    return [use.node for use in node.outputs[0].uses() if use.node.op_type == op_type]


def _producer(value: ir.Value | None) -> ir.Node | None:
    return None if value is None else value.producer()


def _scales(node: ir.Node) -> bool:
    """Whether a node multiplies or divides by one number."""
    return any((array := constant_array(value)) is not None and array.size == 1 for value in node.inputs)
