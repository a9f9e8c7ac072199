"""Put layers of the float model into the quantized graph: what leaving them out of quantization would have given.

A restored layer computes with the float model's nodes and weights. It reads what stands before quantization, unless
the layer that gives it is quantized itself (then that layer's result is in integers anyway). Its result is quantized
again only for layers behind it that are still quantized.
"""

from collections.abc import Collection

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgebig.diagnose.carriers import Params
from edgebig.diagnose.inspected import Inspected
from edgebig.diagnose.observe import named_values
from edgebig.diagnose.own import copied_constant, dequantized_value
from edgebig.diagnose.pair import Pair


def restored_model(inspected: Inspected, layers: Collection[ir.Node]) -> ir.Model:
    """A copy of the quantized model with layers in float.

    Args:
        inspected: Both models, of the same operator set.
        layers: Nodes of the float graph, out of `inspected.layers`.
    """
    restorer = _Restorer(inspected, set(layers))
    for node in inspected.layers:  # in the float graph's order, so that restored layers read restored results
        if node in restorer.layers:
            restorer.restore(node)
    return restorer.finished()


class _Restorer:
    def __init__(self, inspected: Inspected, layers: set[ir.Node]) -> None:
        self.inspected, self.layers = inspected, layers
        self.model = inspected.quantized.clone()
        graph = self.model.graph
        self.named = named_values(graph)
        copies = zip(inspected.quantized.graph, graph, strict=True)
        self.owners = {copy: inspected.owners.get(node, set()) for node, copy in copies}
        self.made = 0
        self.results: dict[ir.Value, ir.Value] = {}
        self.constants: dict[ir.Value, ir.Value] = {}
        self.floats: dict[ir.Value, ir.Value] = {}

    def here(self, value: ir.Value) -> ir.Value:
        """The copy's value for one of the quantized graph."""
        return self.named[value.name or ""]

    def restore(self, node: ir.Node) -> None:
        """Compute a layer's results with the float graph's nodes, and let its readers read them."""
        pairs = self.inspected.layers[node]
        made = self._float_nodes(node, pairs)
        for pair in pairs:
            self.results[pair.original] = made[pair.original]
        for pair in pairs:
            self._hand_over(pair, made[pair.original])

    def finished(self) -> ir.Model:
        RemoveUnusedNodesPass()(self.model)
        self.model.graph.sort()
        return self.model

    def _float_nodes(self, layer: ir.Node, pairs: list[Pair]) -> dict[ir.Value, ir.Value]:
        """Copies of the float graph's nodes that give the pairs, from the nearest tensors that have a counterpart."""
        known = self.inspected.matching.pairs
        made: dict[ir.Value, ir.Value] = {}
        for pair in pairs:
            part = self.inspected.float_region(layer, pair)
            for bound in part.boundary:
                made.setdefault(bound, self._operand(known[bound]))
            for node in part.nodes:
                if any(value in made for value in node.outputs):
                    continue
                operands = [None if v is None else made.get(v) or self._constant(v) for v in node.inputs]
                results = [self._fresh(value) for value in node.outputs]
                attributes = list(node.attributes.values())
                self.model.graph.append(ir.Node(node.domain, node.op_type, operands, attributes, outputs=results))
                made.update(zip(node.outputs, results, strict=True))
        return made

    def _fresh(self, value: ir.Value) -> ir.Value:
        self.made += 1
        name = f"edgebig/float/{self.made}/{value.name}" if value.name else ""
        return ir.Value(name=name, type=value.type, shape=value.shape)

    def _operand(self, pair: Pair) -> ir.Value:
        """A tensor as a restored layer reads it."""
        if pair.original in self.results:
            return self.results[pair.original]
        giver = pair.original.producer()
        if pair.raw is not None and giver not in self.inspected.quantized_layers:
            return self.here(pair.raw)
        value = next(pair.dequantized(), None)
        if value is not None:
            return self.here(value)
        return self.here(pair.raw) if pair.raw is not None else self._dequantized(pair)

    def _dequantized(self, pair: Pair) -> ir.Value:
        if pair.original not in self.floats:
            params = pair.params
            assert params is not None and pair.stored is not None  # stored integers are pairs only with their scale
            point = None if params.zero_point is None else self.here(params.zero_point)
            here = Params(self.here(params.scale), point, params.axis, params.of)
            name = f"edgebig/dequantized/{pair.name}"
            self.floats[pair.original] = dequantized_value(self.model.graph, self.here(pair.stored), here, name)
        return self.floats[pair.original]

    def _hand_over(self, pair: Pair, result: ir.Value) -> None:
        """Let all that read a tensor read the restored one."""
        for value in list(pair.dequantized()):
            self._relink_dequantized(self.here(value), result)
        if pair.raw is not None:
            replace_value(self.here(pair.raw), result)
        elif pair.points:
            for point in pair.points:
                self.here(point.outputs[0]).producer().replace_input_with(0, result)  # type: ignore[union-attr]
        elif pair.stored is not None and pair.params is not None:
            self._requantize(pair, pair.params, result)

    def _relink_dequantized(self, value: ir.Value, result: ir.Value) -> None:
        """Readers of dequantized integers that are not quantized themselves read the float."""
        for user, index in list(value.uses()):
            if not self._stays_quantized(user):
                user.replace_input_with(index, result)
        _hand_output_over(value, result)

    def _stays_quantized(self, node: ir.Node) -> bool:
        owners = self.owners.get(node, set())
        return any(owner in self.inspected.quantized_layers and owner not in self.layers for owner in owners)

    def _requantize(self, pair: Pair, params: Params, result: ir.Value) -> None:
        """Integers of the restored result, for the integer operators that read them."""
        stored = self.here(pair.stored) if pair.stored is not None else result
        operands = [result, self.here(params.scale)]
        if params.zero_point is not None:
            operands.append(self.here(params.zero_point))
        node = ir.node("QuantizeLinear", inputs=operands)
        node.outputs[0].name = f"edgebig/stored/{pair.name}"
        self.model.graph.append(node)
        replace_value(stored, node.outputs[0])

    def _constant(self, value: ir.Value) -> ir.Value:
        if value not in self.constants:
            self.constants[value] = copied_constant(self.model.graph, value, f"edgebig/constant/{value.name}")
        return self.constants[value]


def replace_value(value: ir.Value, result: ir.Value) -> None:
    """Let the readers of a value read another."""
    _hand_output_over(value, result)
    value.replace_all_uses_with(result)


def _hand_output_over(value: ir.Value, result: ir.Value) -> None:
    """Where a value is an output of the graph, let a result be that output, under its name."""
    graph = value.graph
    if not value.is_graph_output() or graph is None:
        return
    name = value.name
    value.name = f"{name}/quantized"
    output = ir.Value(name=name, shape=value.shape, type=value.type)
    graph.append(ir.node("Identity", inputs=[result], outputs=[output]))
    graph.outputs[[item is value for item in graph.outputs].index(True)] = output
