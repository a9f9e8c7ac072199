"""Both models, prepared and matched: what every step of a diagnosis looks at."""

from dataclasses import dataclass
from functools import cached_property

import onnx_ir as ir

from edgebig.diagnose.carriers import carrier, is_stored
from edgebig.diagnose.match import Matching
from edgebig.diagnose.operators import DEQUANTIZE, QUANTIZE, QUANTIZED_OPS
from edgebig.diagnose.pair import Pair
from edgebig.diagnose.stored import is_dequantized_constant
from edgebig.diagnose.walk import Region, region


@dataclass(frozen=True)
class Inspected:
    """Both graphs and what is the same in them.

    Attributes:
        original: The float model, prepared.
        quantized: The quantized model, prepared.
        matching: Their tensors.
    """

    original: ir.Model
    quantized: ir.Model
    matching: Matching

    @cached_property
    def stops(self) -> dict[ir.Value, Pair]:
        """Values of the quantized graph that hold a tensor before its quantization points, by pair."""
        found: dict[ir.Value, Pair] = {}
        for pair in self.matching.pairs.values():
            if pair.raw is not None:
                found[pair.raw] = pair
            elif pair.stored is not None and is_stored(carrier(pair.stored)) and pair.params is not None:
                found[carrier(pair.stored)] = pair
        return found

    @cached_property
    def regions(self) -> dict[ir.Value, Region]:
        """Float value -> the nodes of the quantized graph that compute its counterpart from other counterparts."""
        return {
            value: self._region(pair) for value, pair in self.matching.pairs.items() if value.producer() is not None
        }

    @cached_property
    def layers(self) -> dict[ir.Node, list[Pair]]:
        """Node of the float graph -> the matched tensors it gives, in order."""
        found: dict[ir.Node, list[Pair]] = {}
        for value, pair in self.matching.pairs.items():
            node = value.producer()
            if node is not None:
                found.setdefault(node, []).append(pair)
        return found

    @cached_property
    def quantized_layers(self) -> dict[ir.Node, str]:
        """Node of the float graph whose counterpart is quantized -> in which way, in words."""
        found = {}
        for node, pairs in self.layers.items():
            how = next((how for how in map(self._how, pairs) if how), "")
            if how:
                found[node] = how
        return found

    @cached_property
    def owners(self) -> dict[ir.Node, set[ir.Node]]:
        """Node of the quantized graph -> the layers whose counterparts it helps to compute."""
        found: dict[ir.Node, set[ir.Node]] = {}
        for value, part in self.regions.items():
            layer = value.producer()
            for node in part.nodes:
                if layer is not None:
                    found.setdefault(node, set()).add(layer)
        return found

    def float_region(self, layer: ir.Node, pair: Pair) -> Region:
        """What computes one of a layer's tensors in the float graph: the layer, and nodes without a counterpart."""
        own = {item.original for item in self.layers[layer]}
        return region(pair.original, lambda value: value in self.matching.pairs and value not in own)

    def observable(self, pair: Pair) -> ir.Value | None:
        """The value of the quantized graph to look at: dequantized where it is quantized."""
        value = next(pair.dequantized(), None)
        return value if value is not None else pair.raw if pair.raw is not None else pair.stored

    def _region(self, pair: Pair) -> Region:
        start = self.observable(pair)
        assert start is not None  # a pair has a raw or a stored value
        only_points = pair.raw is None and bool(pair.points)  # the value before them is a pair of its own
        own = set() if only_points else {pair.raw, carrier(start)}
        return region(start, lambda value: value in self.stops and value not in own)

    def _how(self, pair: Pair) -> str:
        part = self.regions[pair.original]
        ops = {node.op_type for node in part.nodes}
        integer = ops & (QUANTIZED_OPS - {QUANTIZE, DEQUANTIZE})
        if integer:
            return "+".join(sorted(integer))
        weights = any(is_dequantized_constant(value) for node in part.nodes for value in node.inputs)
        result = bool(pair.points) or (pair.raw is None and pair.stored is not None)
        return " and ".join(["weights"] * weights + ["result"] * result)


def label(node: ir.Node) -> str:
    """A node's name, or that of its first output where it has none; `--exclude` takes it."""
    return node.name or (node.outputs[0].name if node.outputs else None) or node.op_type
