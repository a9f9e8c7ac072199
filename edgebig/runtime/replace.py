"""Put segments into a graph in place of their nodes, or take them out as models of their own."""

from collections.abc import Mapping, Sequence

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgebig.graph.edit import constant_array
from edgebig.runtime.bridge import DOMAIN, OP_TYPE
from edgebig.runtime.lower.segment import boundary


def replace_segments(model: ir.Model, segments: Mapping[int, Sequence[ir.Node]]) -> None:
    """Replace groups of nodes by one node each.

    Args:
        model: Changed in place.
        segments: Key of a registered program -> the nodes it stands for.
    """
    graph = model.graph
    for key, nodes in segments.items():
        inputs, outputs = boundary(nodes)
        made = [_like(value) for value in outputs]
        node = ir.Node(
            DOMAIN,
            OP_TYPE,
            inputs,
            [ir.AttrInt64("segment", key)],
            outputs=made,
            name=f"edgebig_segment_{key}",
        )
        graph.insert_before(nodes[0], node)
        for old, new in zip(outputs, made, strict=True):
            new.name, old.name = old.name, f"{old.name}_replaced"
            old.replace_all_uses_with(new, replace_graph_outputs=True)
        graph.remove(list(nodes), safe=True)
    graph.opset_imports[DOMAIN] = 1
    graph.sort()
    RemoveUnusedNodesPass()(model)


def extract_segment(model: ir.Model, nodes: Sequence[ir.Node]) -> ir.Model:
    """A model of a group of nodes alone, with the same names; weights are shared.

    Args:
        model: Holds the nodes; not changed.
        nodes: Of its graph, in topological order.
    """
    inputs, outputs = boundary(nodes)
    kept: dict[ir.Value, ir.Value] = {}
    graph_inputs = [_like(value) for value in inputs]
    kept.update(zip(inputs, graph_inputs, strict=True))
    graph = ir.Graph(graph_inputs, [], nodes=[], opset_imports=dict(model.graph.opset_imports), name="segment")
    for node in _with_constants(nodes):
        for value in node.inputs:
            if value is not None and value not in kept:
                kept[value] = _constant(graph, value)
        copy = ir.Node(
            node.domain,
            node.op_type,
            [None if value is None else kept[value] for value in node.inputs],
            list(node.attributes.values()),
            outputs=[_like(value) for value in node.outputs],
            overload=node.overload,
            name=node.name,
        )
        graph.append(copy)
        kept.update(zip(node.outputs, copy.outputs, strict=True))
    graph.outputs.extend(kept[value] for value in outputs)
    return ir.Model(graph, ir_version=model.ir_version)


def _with_constants(nodes: Sequence[ir.Node]) -> list[ir.Node]:
    """The nodes, each after the nodes that dequantize its constants."""
    found: dict[ir.Node, None] = {}
    inside = set(nodes)
    inputs = set(boundary(nodes)[0])
    for node in nodes:
        for value in node.inputs:
            producer = None if value is None or value in inputs else value.producer()
            if producer is not None and producer not in inside:
                found[producer] = None
        found[node] = None
    return list(found)


def _like(value: ir.Value) -> ir.Value:
    return ir.Value(name=value.name, shape=value.shape, type=value.type)


def _constant(graph: ir.Graph, value: ir.Value) -> ir.Value:
    array = constant_array(value)
    name = value.name or ""
    if name in graph.initializers:
        return graph.initializers[name]
    tensor = value.const_value if value.const_value is not None else ir.tensor(array, name=name)  # type: ignore[arg-type]
    copy = ir.Value(
        name=name, shape=ir.Shape(tensor.shape.numpy()), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(copy)
    return copy
