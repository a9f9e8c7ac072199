"""Which layers to look at first, and which must go to float together to undo what is wrong with one."""

import math
from collections.abc import Iterator, Mapping

import onnx_ir as ir

from edgebig.diagnose.carriers import carrier
from edgebig.diagnose.inspected import Inspected
from edgebig.diagnose.operators import MOVING_OPS
from edgebig.diagnose.pair import Pair
from edgebig.diagnose.statistics import TensorFacts

# A tensor whose stored integers are worse than the layer's own error by less than this many dB has a part in it.
TOGETHER_DB = 6.0


class Suspects:
    """The quantized layers with what was seen of their tensors.

    Args:
        inspected: Both models.
        facts: Tensor name -> its facts.
    """

    def __init__(self, inspected: Inspected, facts: Mapping[str, TensorFacts]) -> None:
        self.inspected, self.facts = inspected, facts

    def own_db(self, layer: ir.Node) -> float:
        """The layer's own SQNR, of its worst tensor; infinite where it adds no error."""
        found = [self.facts[pair.name].own.sqnr_db for pair in self.inspected.layers[layer] if pair.name in self.facts]
        return min((value for value in found if value is not None), default=math.inf)

    def cumulative_db(self, layer: ir.Node) -> float | None:
        """The SQNR of its worst tensor in the quantized model; None where nothing was compared."""
        pairs = self.inspected.layers[layer]
        found = [self.facts[pair.name].cumulative.sqnr_db for pair in pairs if pair.name in self.facts]
        return min((value for value in found if value is not None), default=None)

    def rounded_db(self, pair: Pair) -> float:
        """The SQNR of a tensor in its stored integers, of most of its channels too; infinite where it has none."""
        facts = self.facts.get(pair.name)
        if facts is None or facts.grid is None:
            return math.inf
        found = (facts.rounded.sqnr_db, facts.rounded.typical_db)
        return min((value for value in found if value is not None), default=math.inf)

    def ranked(self) -> list[ir.Node]:
        """The quantized layers, worst own error first; those that only move numbers come after all others."""
        layers = [layer for layer in self.inspected.quantized_layers if self.own_db(layer) < math.inf]
        return sorted(layers, key=lambda layer: (layer.op_type in MOVING_OPS - {"Gather"}, self.own_db(layer)))

    def together(self, layer: ir.Node) -> set[ir.Node]:
        """The layer, and the quantized layers around the tensors whose integers cause its error."""
        limit = self.own_db(layer) + TOGETHER_DB
        found, stack = {layer}, [layer]
        while stack:
            current = stack.pop()
            for pair in self._around(current):
                if self.rounded_db(pair) <= limit:
                    for neighbour in self._neighbours(pair):
                        if neighbour in self.inspected.quantized_layers and neighbour not in found:
                            found.add(neighbour)
                            stack.append(neighbour)
        return found

    def inputs(self, layer: ir.Node) -> Iterator[Pair]:
        """The tensors a layer reads."""
        for value in layer.inputs:
            pair = self.inspected.matching.pairs.get(carrier(value)) if value is not None else None
            if pair is not None:
                yield pair

    def _around(self, layer: ir.Node) -> Iterator[Pair]:
        yield from self.inspected.layers.get(layer, ())
        yield from self.inputs(layer)

    def _neighbours(self, pair: Pair) -> Iterator[ir.Node]:
        giver = pair.original.producer()
        if giver is not None:
            yield giver
        stack = [pair.original]
        while stack:
            for user, _ in stack.pop().uses():
                if user in self.inspected.layers:
                    yield user
                else:
                    stack.extend(user.outputs)
