"""What a detector of causes may look at."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.diagnose.carriers import carrier, is_weight
from edgebig.diagnose.inspected import Inspected
from edgebig.diagnose.operators import ACCUMULATING, DEQUANTIZE, QUANTIZE, TWINS, float_type, operands
from edgebig.diagnose.pair import Pair
from edgebig.diagnose.statistics import TensorFacts
from edgebig.diagnose.stored import dequantized_constant, summed_scale
from edgebig.diagnose.suspects import Suspects
from edgebig.graph.edit import constant_array
from edgebig.graph.weights import WEIGHTED_OPS, WeightedNode, as_weighted

# What is fused into a weighted node without changing its weight (a BatchNormalization scales it).
_KEEP_WEIGHTS = ("Add", "Relu", "Clip", "Identity")


@dataclass(frozen=True)
class LayerWeight:
    """The weight of a layer in both models.

    Attributes:
        original: In the float model.
        quantized: In the quantized model, as floats, of the same shape.
        output_axis: The axis of output channels.
        scale: The scales it is stored with, as they lie in the file.
        scale_axis: The axis they are declared for.
        node: The node of the quantized graph that reads it.
    """

    original: NDArray
    quantized: NDArray
    output_axis: int
    scale: NDArray
    scale_axis: int
    node: ir.Node

    def by_channel(self, array: NDArray) -> NDArray:
        """An array of the weight's shape as [output channels, rest]."""
        moved = np.moveaxis(array, self.output_axis, 0)
        return moved.reshape(moved.shape[0], -1)


@dataclass(frozen=True)
class Context:
    """Both models and what was seen.

    Attributes:
        inspected: Both models.
        suspects: The layers, and the facts of their tensors.
        values: Name of a tensor of the float model -> its array on one feed, for the inputs of layers looked at.
    """

    inspected: Inspected
    suspects: Suspects
    values: Mapping[str, NDArray]

    def facts(self, pair: Pair) -> TensorFacts | None:
        """What was seen of a tensor; None for tensors that hold no floats."""
        return self.suspects.facts.get(pair.name)

    def results(self, layer: ir.Node) -> list[Pair]:
        """The tensors a layer gives."""
        return self.inspected.layers[layer]

    def around(self, layer: ir.Node) -> Iterator[tuple[Pair, TensorFacts]]:
        """The layer's own tensors and the quantized ones it reads, with their facts."""
        for pair in (*self.results(layer), *self.suspects.inputs(layer)):
            facts = self.facts(pair)
            if facts is not None:
                yield pair, facts

    def quantized_nodes(self, layer: ir.Node) -> Iterator[ir.Node]:
        """The nodes of the quantized graph that compute the layer."""
        for pair in self.results(layer):
            part = self.inspected.regions.get(pair.original)
            yield from part.nodes if part is not None else ()

    def scales(self, layer: ir.Node) -> Iterator[tuple[str, NDArray]]:
        """The constant scales of a layer's nodes, with their names."""
        for node in self.quantized_nodes(layer):
            twin = TWINS.get(node.op_type)
            places = [1] if node.op_type in (QUANTIZE, DEQUANTIZE) else []
            if twin is not None:
                places = [place for place in (*twin.scales, twin.result_scale) if place is not None and place > 0]
            for place in places:
                value = node.inputs[place] if place < len(node.inputs) else None
                array = constant_array(value)
                if array is not None and value is not None:
                    yield value.name or "", np.asarray(array, np.float64)

    def weighted_node(self, layer: ir.Node) -> WeightedNode | None:
        """The layer, or the node fused into it, with a constant weight in the float model."""
        found = as_weighted(layer)
        if found is not None or layer.op_type not in _KEEP_WEIGHTS:
            return found
        known = self.inspected.matching.pairs
        for value in layer.inputs:
            node = carrier(value).producer() if value is not None else None
            if node is not None and node.outputs and carrier(node.outputs[0]) not in known:
                found = as_weighted(node)
                if found is not None:
                    return found
        return None

    def weight(self, layer: ir.Node) -> LayerWeight | None:
        """The layer's weight in both models; None where it has none, or one of another form."""
        weighted = self.weighted_node(layer)
        if weighted is None:
            return None
        for node in self.quantized_nodes(layer):
            if float_type(node) not in WEIGHTED_OPS:
                continue
            for value in list(operands(node))[:2]:
                array = dequantized_constant(value, node) if value is not None and is_weight(value) else None
                if array is None or value is None or array.shape != weighted.array().shape:
                    continue
                scale, axis = _scale_of(value, node)
                if scale is not None:
                    return LayerWeight(weighted.array(), array, weighted.output_axis, scale, axis, node)
        return None


def _scale_of(value: ir.Value, reader: ir.Node) -> tuple[NDArray | None, int]:
    node = value.producer()
    if node is not None and node.op_type == DEQUANTIZE:
        return constant_array(node.inputs[1]), node.attributes.get_int("axis", 1)
    twin = TWINS.get(reader.op_type)
    if twin is not None and value in reader.inputs:
        index = list(reader.inputs).index(value)
        place = twin.scales[twin.operands.index(index)] if twin.scales and index in twin.operands else -1
        if 0 <= place < len(reader.inputs):
            return constant_array(reader.inputs[place]), 0 if twin.op_type == "Conv" else -1
        if reader.op_type in ACCUMULATING:
            return constant_array(summed_scale(reader)), 0 if reader.op_type == "ConvInteger" else -1
    return None, 0


def number(value: float) -> str:
    """A number as people read it."""
    return f"{value:.3g}"
