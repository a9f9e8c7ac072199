"""Which units run in integers: those with weights, and of the others those whose gain pays for the conversions.

Every value that integers and float both touch costs a QuantizeLinear or a DequantizeLinear. The cheapest choice over
the whole graph is a minimum cut: source's side integers, sink's side float, conversions and operators the capacities.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.quantize.minimum_cut import INFINITE, Network
from edgebig.quantize.unit import Facts, Unit

# What these cost depends on what goes in.
REDUCING = ("AveragePool", "GlobalAveragePool", "MaxPool", "ReduceMean")
NOT_WORTH = "its neighbours are float: conversions would cost more than integers save"


@dataclass(frozen=True)
class Placement:
    """What runs in integers.

    Attributes:
        units: Those that do, in the graph's order.
        float_results: Those of them whose results stay float, at no cost.
        left: Those that stay in float although they could not.
    """

    units: tuple[Unit, ...]
    float_results: frozenset[Unit]
    left: tuple[Unit, ...]


def place(units: Collection[Unit], facts: Facts) -> Placement:
    """Choose the units that run in integers.

    Args:
        units: The candidates of a graph, in its order.
        facts: What is known of the model.
    """
    if facts.target.integer_only:
        return Placement(tuple(units), frozenset(), ())  # a float result would leave the accelerator
    problem = _Problem(units, facts)
    chosen = problem.solve()
    owner = {node: unit for unit in chosen for node in unit.nodes}
    floats = frozenset(unit for unit in chosen if unit.float_output and not _all_integer(unit.outputs, owner))
    if not facts.target.quantize_results:
        floats = frozenset(chosen)
    return Placement(
        tuple(unit for unit in units if unit in chosen), floats, tuple(unit for unit in units if unit not in chosen)
    )


class _Problem:
    """The network of one graph."""

    def __init__(self, units: Collection[Unit], facts: Facts) -> None:
        self.units = units
        self.facts = facts
        self.costs = facts.target.int8_costs
        self.network = Network()
        self.numbers = {unit: self.network.add_node() for unit in units}
        self.owner = {node: unit for unit in units for node in unit.nodes}

    def solve(self) -> set[Unit]:
        """The units on the side of the integers in a cheapest cut; of equally cheap ones, the fewest."""
        for unit in self.units:
            self._add_unit(unit)
        for value in _float_values(self.units):
            self._add_conversions(value)
        side = self.network.source_side()
        return {unit for unit in self.units if self.numbers[unit] in side}

    def _add_unit(self, unit: Unit) -> None:
        number = self.numbers[unit]
        if unit.weighted is not None or unit.forced:
            # Integers for size; whoever wants it in float excludes it.
            self.network.add_edge(Network.SOURCE, number, INFINITE)
            return
        integer, floating = self._run_costs(unit)
        self.network.add_edge(number, Network.SINK, integer)
        self.network.add_edge(Network.SOURCE, number, floating)
        self._add_layout_cost(unit)

    def _add_layout_cost(self, unit: Unit) -> None:
        """What the unit loses where a float operator precedes it and the channels do not lie innermost."""
        value = unit.inputs[0]
        extra = self.costs.after_float.get(unit.node.op_type, 0.0) * self.facts.elements(value)
        if extra:
            self.network.add_edge(self.numbers[unit], self._side(value.producer()), extra)

    def _run_costs(self, unit: Unit) -> tuple[float, float]:
        """Nanoseconds of a unit in integers and in float, absorbed nodes included."""
        absorbed = len(unit.tail) * self.costs.node
        if unit.node.op_type == "MatMul":
            inner = (self.facts.shape(unit.node.inputs[0]) or (1,))[-1]
            count = self.facts.elements(unit.node.outputs[0]) * inner
            cost = self.costs.multiply_add
        else:
            whole = unit.node.inputs[:1] if unit.node.op_type in REDUCING else unit.node.outputs
            count = sum(self.facts.elements(value) for value in whole)
            found = self.costs.per_element.get(unit.node.op_type)
            if found is None:
                return 0.0, absorbed
            cost = found
        return count * cost.int8, count * cost.float32 + absorbed

    def _add_conversions(self, value: ir.Value) -> None:
        elements = self.facts.elements(value)
        to_integers = self.costs.node + elements * self.costs.quantize
        to_float = self.costs.node + elements * self.costs.dequantize
        producer = self._side(value.producer())
        consumers = {
            self._side(use.node) if self._quantized(use.node, use.idx) else Network.SINK for use in value.uses()
        }
        if value.is_graph_output():
            consumers.add(Network.SINK)
        consumers.discard(producer)
        any_integer, all_integer = self.network.add_node(), self.network.add_node()
        for consumer in consumers:
            self.network.add_edge(consumer, any_integer, INFINITE)
            self.network.add_edge(all_integer, consumer, INFINITE)
        self.network.add_edge(any_integer, producer, to_integers)
        unit = self.owner.get(value.producer())  # type: ignore[arg-type]
        if unit is not None and unit.float_output:
            self.network.add_edge(any_integer, all_integer, to_integers)
        else:
            self.network.add_edge(producer, all_integer, to_float)

    def _side(self, node: ir.Node | None) -> int:
        unit = None if node is None else self.owner.get(node)
        return Network.SINK if unit is None else self.numbers[unit]

    def _quantized(self, consumer: ir.Node, index: int) -> bool:
        """Whether the use is one that its unit wants in integers (the shape of a Reshape is not)."""
        unit = self.owner.get(consumer)
        return unit is not None and consumer is unit.node and index in unit.activations


def _float_values(units: Iterable[Unit]) -> Iterable[ir.Value]:
    """The values between units and nodes: inputs of units that are not constant, and outputs of units."""
    seen: dict[ir.Value, None] = {}
    for unit in units:
        seen.update(dict.fromkeys(value for value in unit.inputs if constant_array(value) is None))
        seen.update(dict.fromkeys(unit.outputs))
    return seen


def _all_integer(values: Iterable[ir.Value], owner: Mapping[ir.Node, Unit]) -> bool:
    """Whether all who use the values take them in integers."""
    for value in values:
        if value.is_graph_output() or not value.uses():
            return False
        for use in value.uses():
            unit = owner.get(use.node)
            if unit is None or use.node is not unit.node or use.idx not in unit.activations:
                return False
    return True
