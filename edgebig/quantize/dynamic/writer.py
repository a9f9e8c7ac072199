"""Writing operators whose activations are quantized anew on every run, with the scale of what is there."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.weights import as_weighted
from edgebig.quantize.formats.constants import ConstantPool
from edgebig.quantize.formats.qdq import WeightRule
from edgebig.quantize.weights import QuantizedWeight, quantize_weight

Quantized = tuple[ir.Value, ir.Value, ir.Value]


class DynamicWriter:
    """Changes a model, node by node. New nodes are inserted before the node they replace.

    Args:
        model: The model.
        rule: How weights are quantized.
        opset: Version of the model's standard operator set.
    """

    def __init__(self, model: ir.Model, rule: WeightRule, opset: int) -> None:
        self.model = model
        self.rule = rule
        self.opset = opset
        self.pool = ConstantPool(model.graph)
        self._counted: set[ir.Value] = set()
        self._activations: dict[tuple[ir.Graph, ir.Value], Quantized] = {}

    def activation(self, value: ir.Value, before: ir.Node) -> Quantized:
        """Integers, scale and zero point of an activation: one DynamicQuantizeLinear for all who read it in a graph."""
        graph = before.graph
        assert isinstance(graph, ir.Graph)  # nodes to be written belong to a graph
        if (graph, value) not in self._activations:
            node = ir.node("DynamicQuantizeLinear", [value], num_outputs=3)
            self._insert(graph, node, before, f"{value.name}_DynamicQuantizeLinear")
            types = (ir.DataType.UINT8, ir.DataType.FLOAT, ir.DataType.UINT8)
            for output, dtype, what in zip(node.outputs, types, ("quantized", "scale", "zero_point"), strict=True):
                output.name, output.type = self.pool.free_name(f"{value.name}_{what}"), ir.TensorType(dtype)
                output.shape = value.shape if what == "quantized" else ir.Shape(())
            self._activations[graph, value] = (node.outputs[0], node.outputs[1], node.outputs[2])
        return self._activations[graph, value]

    def node(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        like: ir.Value,
        before: ir.Node,
        *,
        dtype: ir.DataType | None = None,
        shape: ir.Shape | None = None,
        **attributes: int | Sequence[int],
    ) -> ir.Value:
        """Insert a node in front of another; return its output, of the shape of `like` where none is given."""
        node = ir.node(op_type, list(inputs), attributes=dict(attributes))
        graph = before.graph
        assert isinstance(graph, ir.Graph)  # nodes to be written belong to a graph
        name = self._insert(graph, node, before, f"{like.name}_{op_type}")
        output = node.outputs[0]
        output.name, output.shape = name, shape or like.shape
        dtype = dtype or like.dtype
        if dtype is not None:
            output.type = ir.TensorType(dtype)
        return output

    def twin(
        self,
        node: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        *,
        domain: str,
        without: Sequence[str] = (),
    ) -> ir.Node:
        """Insert a node with the attributes and outputs of another, of another type; nobody uses its outputs yet."""
        attributes = {name: attribute for name, attribute in node.attributes.items() if name not in without}
        new = ir.Node(domain, op_type, list(inputs), attributes.values(), num_outputs=len(node.outputs))
        graph = node.graph
        assert isinstance(graph, ir.Graph)  # nodes to be written belong to a graph
        self._insert(graph, new, node, f"{node.name or op_type}_{op_type}")
        for old, output in zip(node.outputs, new.outputs, strict=True):
            output.name = self.pool.free_name(f"{old.name}_{op_type}") if old.name else ""
            output.shape, output.type = old.shape, old.type
        return new

    def replace(self, old: ir.Value, new: ir.Value) -> None:
        """Give `new` the place and the name of `old` everywhere, also where that is an output of its graph."""
        name = old.name
        old.name, new.name = self.pool.free_name(f"{name}_float"), name
        new.shape, new.type = old.shape, old.type
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)

    def constant(self, name: str, array: NDArray | np.generic) -> ir.Value:
        """An initializer of the top-level graph with this content."""
        return self.pool.get(name, array)

    def first_time(self, constant: ir.Value) -> bool:
        """Whether nobody has asked this about the constant before: what is stored once is counted once."""
        new = constant not in self._counted
        self._counted.add(constant)
        return new

    def remove(self, node: ir.Node) -> None:
        """Take a node out whose outputs nobody uses any more."""
        assert isinstance(node.graph, ir.Graph)  # as above
        node.graph.remove(node, safe=True)

    def _insert(self, graph: ir.Graph, node: ir.Node, before: ir.Node, name: str) -> str:
        name = self.pool.free_name(name)
        node.name = name
        graph.insert_before(before, node)
        return name


def quantize_matrix(matrix: NDArray, rule: WeightRule) -> QuantizedWeight:
    """Quantize a weight [inputs, outputs] with a scale per output.

    Args:
        matrix: Float numbers.
        rule: How.
    """
    value = ir.Value(name="weight", const_value=ir.tensor(np.ascontiguousarray(matrix), name="weight"))
    weighted = as_weighted(ir.node("MatMul", [ir.Value(name="x"), value]))
    assert weighted is not None  # a matrix of float numbers is a weight
    return quantize_weight(weighted, rule.bits, pair_sums=rule.pair_sums)
