"""Layers whose weights the algorithms improve: units that share one weight are one layer, so it stays shared."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebig.graph.weights import WeightedNode
from edgebig.quantize.engine import StaticEngine
from edgebig.quantize.formats.weight_form import WeightRule, has_channel_scales
from edgebig.quantize.unit import Unit
from edgebig.quantize.weights import adds_no_pairs


@dataclass(frozen=True)
class Layer:
    """A weight, and the units that use it.

    Attributes:
        units: The units, of `StaticEngine.plan`.
        rule: How its weight is quantized.
    """

    units: tuple[Unit, ...]
    rule: WeightRule

    @property
    def weighted(self) -> WeightedNode:
        """The first unit's node and weight."""
        assert self.units[0].weighted is not None  # `layers_of` takes weighted units only
        return self.units[0].weighted

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the units' nodes."""
        return tuple(unit.node.name or "" for unit in self.units)

    @property
    def has_bias(self) -> bool:
        """Whether biases can make up for errors in the outputs' means."""
        return all(unit.bias is not None for unit in self.units)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the activations that the units read."""
        return tuple(unit.inputs[0].name or "" for unit in self.units)


def layers_of(engine: StaticEngine, rule: WeightRule) -> tuple[Layer, ...]:
    """All layers that may run in integers with a scale per output channel.

    Args:
        engine: The engine.
        rule: How weights are quantized.
    """
    sharing: dict[tuple[str, int, int], list[Unit]] = {}
    for unit in engine.plan.candidates.units:
        weighted = unit.weighted
        if weighted is not None and has_channel_scales(unit, engine.prepared.facts.target):
            key = (weighted.weight.name or "", weighted.output_axis, weighted.groups)
            sharing.setdefault(key, []).append(unit)
    layers = []
    for units in sharing.values():
        assert units[0].weighted is not None  # see above
        layers.append(Layer(tuple(units), WeightRule(8, pair_sums=False) if adds_no_pairs(units[0].weighted) else rule))
    return tuple(layers)


def mean_squares(engine: StaticEngine, layer: Layer) -> NDArray | None:
    """Mean square of every input channel of a layer over the samples; None where it is not known."""
    found = [engine.statistics[name] for name in layer.sources if name in engine.statistics]
    known = [statistics.mean_squares for statistics in found if statistics.channels is not None]
    return np.mean(known, axis=0) if known and len({array.size for array in known}) == 1 else None
