"""A model of layers taken apart: each quantized layer computes from the float model's tensors."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgebig.diagnose.carriers import Params, carrier
from edgebig.diagnose.inspected import Inspected
from edgebig.diagnose.pair import Pair
from edgebig.graph.edit import constant_array

RESULT = "edgebig/own/"


def own_model(inspected: Inspected, pairs: list[Pair], dtypes: Mapping[str, np.dtype]) -> tuple[ir.Model, list[Pair]]:
    """Build the model.

    Args:
        inspected: Both models.
        pairs: The tensors whose layers it holds.
        dtypes: Name of a tensor of the float model -> its dtype.

    Returns:
        A model whose inputs are tensors of the float model (by name) and whose outputs are the layers' results,
        dequantized, named `RESULT` + the tensor's name; and the pairs that it holds: a layer with control flow, or
        one that reads a tensor whose dtype is unknown, is left out.
    """
    builder = _Builder(inspected, dtypes)
    held = [pair for pair in pairs if builder.add(pair)]
    return builder.model(), held


def dequantized_value(graph: ir.Graph, value: ir.Value, params: Params, name: str) -> ir.Value:
    """Append a DequantizeLinear of stored integers to a graph; scale and zero point are values of the graph."""
    operands = [value, params.scale] + ([params.zero_point] if params.zero_point is not None else [])
    result = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT))
    graph.append(ir.node("DequantizeLinear", inputs=operands, attributes=_axis(params), outputs=[result]))
    return result


def _axis(params: Params) -> dict[str, int]:
    array = constant_array(params.scale)
    return {} if array is None or array.size == 1 else {"axis": params.axis}


def copied_constant(graph: ir.Graph, value: ir.Value, name: str) -> ir.Value:
    """Register a constant of another graph under a name; its data are shared."""
    tensor = value.const_value
    kind = value.type if tensor is None else ir.TensorType(tensor.dtype)
    copy = ir.Value(name=name, const_value=tensor, type=kind)
    copy.shape = value.shape if tensor is None else ir.Shape(tensor.shape.numpy())
    graph.register_initializer(copy)
    return copy


class _Builder:
    def __init__(self, inspected: Inspected, dtypes: Mapping[str, np.dtype]) -> None:
        self.inspected, self.dtypes = inspected, dtypes
        self.graph = ir.Graph([], [], nodes=[], name="layers", opset_imports=inspected.quantized.graph.opset_imports)
        self.inputs: dict[str, ir.Value] = {}
        self.constants: dict[ir.Value, ir.Value] = {}
        self.fed: dict[ir.Value, ir.Value] = {}

    def model(self) -> ir.Model:
        return ir.Model(self.graph, ir_version=self.inspected.quantized.ir_version)

    def add(self, pair: Pair) -> bool:
        """Add the layer of a tensor; False where it cannot stand alone."""
        part = self.inspected.regions.get(pair.original)
        value = self.inspected.observable(pair)
        if part is None or not part.nodes or value is None:
            return False
        if any(
            attribute.type == ir.AttributeType.GRAPH for node in part.nodes for attribute in node.attributes.values()
        ):
            return False
        bounds = [(bound, self.inspected.stops.get(bound)) for bound in part.boundary]
        if any(stop is None or stop.name not in self.dtypes for _, stop in bounds):
            return False
        copies = {bound: self._boundary(bound, stop) for bound, stop in bounds if stop is not None}
        for node in part.nodes:
            self._copy(node, copies, f"{len(self.graph.outputs)}/")
        result = copies[value]
        if carrier(value) is value and pair.raw is None and pair.params is not None:
            result = dequantized_value(self.graph, result, self._params(pair.params), f"{pair.name}/dequantized")
        named = ir.Value(name=RESULT + pair.name, type=ir.TensorType(ir.DataType.FLOAT))
        self.graph.append(ir.node("Identity", inputs=[result], outputs=[named]))
        self.graph.outputs.append(named)
        return True

    def _copy(self, node: ir.Node, copies: dict[ir.Value, ir.Value], prefix: str) -> None:
        operands = [None if value is None else copies.get(value) or self._constant(value) for value in node.inputs]
        results = [ir.Value(name=prefix + value.name if value.name else "", type=value.type) for value in node.outputs]
        attributes = list(node.attributes.values())
        self.graph.append(ir.Node(node.domain, node.op_type, operands, attributes, outputs=results))
        copies.update(zip(node.outputs, results, strict=True))

    def _boundary(self, value: ir.Value, pair: Pair) -> ir.Value:
        """A tensor of the float model as the layer reads it: as it is, or as stored integers."""
        if value not in self.fed:
            source = self._input(pair.name)
            self.fed[value] = source
            if value is not pair.raw and pair.params is not None:
                params = self._params(pair.params)
                operands = [source, params.scale] + ([params.zero_point] if params.zero_point is not None else [])
                node = ir.node("QuantizeLinear", inputs=operands, attributes=_axis(params))
                node.outputs[0].name = f"{pair.name}/stored"
                self.graph.append(node)
                self.fed[value] = node.outputs[0]
        return self.fed[value]

    def _input(self, name: str) -> ir.Value:
        if name not in self.inputs:
            kind = ir.TensorType(ir.DataType.from_numpy(self.dtypes[name]))
            self.inputs[name] = ir.Value(name=name, type=kind)
            self.graph.inputs.append(self.inputs[name])
        return self.inputs[name]

    def _params(self, params: Params) -> Params:
        point = None if params.zero_point is None else self._constant(params.zero_point)
        return Params(self._constant(params.scale), point, params.axis, params.of)

    def _constant(self, value: ir.Value) -> ir.Value:
        if value not in self.constants:
            name = f"constant/{value.name}"
            self.constants[value] = copied_constant(self.graph, value, name)
        return self.constants[value]
