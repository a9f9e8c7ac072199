"""Rewrite a model in float16, with casts at the borders of what stays in float32 and nowhere else."""

from collections.abc import Collection, Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgebig.quantize.change import Change
from edgebig.quantize.exclude import node_name
from edgebig.quantize.half.constants import half_array, half_constant
from edgebig.quantize.half.float_ops import FLOAT_INPUTS
from edgebig.quantize.half.modes import half_inputs, settle
from edgebig.quantize.weight_only.spool import Spool
from edgebig.quantize.weight_only.stored import Store, drop_initializer

FLOAT, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16


def write_half(model: ir.Model, nodes: Collection[ir.Node]) -> tuple[Change, ...]:
    """Let nodes compute in float16, in place. Inputs and outputs of the model stay float32.

    Args:
        model: A working copy with the types of its values, its functions inlined.
        nodes: Of `candidates`; cheap ones that only float32 nodes read stay in float32.

    Returns:
        What became of every node that changed, in the graph's order.
    """
    half = settle(nodes)
    writer = _Writer(model, half)
    order = list(ir.traversal.RecursiveGraphIterator(model.graph))
    changes = [writer.rewrite(node) for node in order if node in half]
    writer.cast_back()
    RemoveUnusedNodesPass()(model)
    writer.remove_floats()
    return tuple(changes)


class _Writer:
    """Rewrites node by node, each after those whose results it reads.

    Args:
        model: The model.
        half: The nodes that become float16.
    """

    def __init__(self, model: ir.Model, half: set[ir.Node]) -> None:
        self._half = half
        self._store = Store(model, Spool())
        self._halves: dict[ir.Value, ir.Value] = {}
        self._made: dict[ir.Value, None] = {}

    def rewrite(self, node: ir.Node) -> Change:
        """Turn a node's float32 inputs and outputs to float16."""
        weights = before = after = 0
        errors: list[float] = []
        if _is_cast_to_half(node):
            self._pass_by(node)
            return Change(node_name(node), node.op_type, "float16")
        for index in half_inputs(node):
            value = node.inputs[index]
            if value is None:
                continue
            is_new, is_constant = value not in self._halves, _is_constant(value)
            read, error = self._half_of(value)
            node.replace_input_with(index, read)
            if is_constant:
                errors.append(error)
                if is_new and value.const_value is not None:
                    weights += int(value.const_value.size)
                    before, after = before + value.const_value.nbytes, after + value.const_value.nbytes // 2
        self._retype(node)
        worst = max(errors) if errors else None
        return Change(node_name(node), node.op_type, "float16", weights, worst, before, after)

    def cast_back(self) -> None:
        """Give float32 readers, and the borders of graphs, float32 again."""
        for value in self._made:
            readers = [(n, i) for n, i in value.uses() if n not in self._half or _is_fixed(n, i)]
            if readers or value.is_graph_output():
                self._cast_for(value, readers)

    def remove_floats(self) -> None:
        """Drop the float32 constants that nothing reads any more, those of subgraphs included."""
        for value in self._halves:
            if _is_constant(value) and not value.uses() and not value.is_graph_output():
                drop_initializer(value)

    def _pass_by(self, node: ir.Node) -> None:
        """Let readers of a Cast to float16 read what it casts, where that is float16 by now."""
        source, result = node.inputs[0], node.outputs[0]
        if source in self._made and source is not None and not result.is_graph_output():
            result.replace_all_uses_with(source)

    def _half_of(self, value: ir.Value) -> tuple[ir.Value, float]:
        """The float16 form of a value that a float16 node reads, and its error where it is a constant."""
        if value in self._made:
            return value, 0.0
        if value not in self._halves:
            if _is_constant(value):
                self._halves[value], error = half_constant(value, self._store)
                self._halves[value].meta["error"] = error
            else:
                self._halves[value] = self._cast_down(value)
        found = self._halves[value]
        return found, float(found.meta.get("error", 0.0))

    def _cast_down(self, value: ir.Value) -> ir.Value:
        """A Cast to float16 behind a float32 value; a Cast from float16 that gave it is passed by."""
        producer = value.producer()
        if producer is not None and producer.op_type == "Cast":
            source = producer.inputs[0]
            if source is not None and source.dtype == HALF:
                return source
        node = ir.Node("", "Cast", [value], [ir.AttrInt64("to", int(HALF))], num_outputs=1)
        graph = value.graph if producer is None else producer.graph
        if not isinstance(graph, ir.Graph):
            raise TypeError(f"value {value.name!r} lies in no graph")
        name = self._store.free_name(f"{value.name}_half")
        node.name = node.outputs[0].name = name
        node.outputs[0].type, node.outputs[0].shape = ir.TensorType(HALF), value.shape
        if producer is None:
            graph.insert_before(graph[0], node)
        else:
            graph.insert_after(producer, node)
        return node.outputs[0]

    def _retype(self, node: ir.Node) -> None:
        if node.op_type == "Cast" and node.attributes["to"].as_int() == FLOAT:
            node.attributes["to"] = ir.AttrInt64("to", int(HALF))
        if node.op_type == "ConstantOfShape":
            made = node.attributes.get("value")
            array = half_array(made.as_tensor())[0] if made is not None else np.zeros(1, np.float16)
            node.attributes["value"] = ir.AttrTensor("value", ir.tensor(array))
        for value in node.outputs:
            if value.dtype == FLOAT:
                value.type = ir.TensorType(HALF)
                self._made[value] = None

    def _cast_for(self, value: ir.Value, readers: Sequence[tuple[ir.Node, int]]) -> None:
        """One Cast to float32 behind a float16 node, for all its float32 readers; an output keeps its name."""
        producer = value.producer()
        graph = producer.graph if producer is not None else None
        if producer is None or not isinstance(graph, ir.Graph):
            raise TypeError(f"value {value.name!r} lies in no graph")
        node = ir.Node("", "Cast", [value], [ir.AttrInt64("to", int(FLOAT))], num_outputs=1)
        wide = node.outputs[0]
        wide.type, wide.shape = ir.TensorType(FLOAT), value.shape
        if value.is_graph_output():
            for place, output in enumerate(graph.outputs):
                if output is value:
                    graph.outputs[place] = wide
            wide.name, value.name = value.name, self._store.free_name(f"{value.name}_half")
            node.name = self._store.free_name(f"{wide.name}_cast")
        else:
            node.name = wide.name = self._store.free_name(f"{value.name}_float")
        graph.insert_after(producer, node)
        for reader, index in readers:
            reader.replace_input_with(index, wide)


def _is_constant(value: ir.Value) -> bool:
    return value.is_initializer() and not value.is_graph_input() and value.const_value is not None


def _is_fixed(node: ir.Node, index: int) -> bool:
    return index in FLOAT_INPUTS.get(node.op_type, ())


def _is_cast_to_half(node: ir.Node) -> bool:
    return node.op_type == "Cast" and node.attributes["to"].as_int() == HALF
