"""Whether a pass changed anything, for passes that do not say so reliably."""

import hashlib
from collections import Counter
from collections.abc import Iterator

import onnx_ir as ir

from edgebig.graph.load import all_nodes


def fingerprint(model: ir.Model) -> str:
    """A hash of everything that decides what the model computes: nodes, attributes, names, constants by identity."""
    digest = hashlib.sha256()
    for part in _parts(model):
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def count_operators(model: ir.Model) -> Counter[str]:
    """How many nodes of each operator the model has, subgraphs and functions included."""
    return Counter(node.op_type for node in all_nodes(model))


def _parts(model: ir.Model) -> Iterator[str]:
    yield repr(sorted(model.opset_imports.items()))
    yield repr(sorted(map(str, model.functions)))
    for graph in model.graphs():
        yield repr([value.name for value in graph.inputs])
        yield repr([value.name for value in graph.outputs])
        yield repr([(name, id(value.const_value)) for name, value in graph.initializers.items()])
    for node in all_nodes(model):
        names = [value.name if value is not None else None for value in (*node.inputs, *node.outputs)]
        yield repr((node.domain, node.op_type, names, [_text(item) for item in sorted(node.attributes.items())]))


def _text(item: tuple[str, ir.Attr]) -> str:
    name, attribute = item
    if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
        return name  # the nodes inside are looked at on their own
    if attribute.type in (ir.AttributeType.TENSOR, ir.AttributeType.TENSORS):
        return f"{name}={id(attribute.value)}"
    return f"{name}={attribute.value!r}"
