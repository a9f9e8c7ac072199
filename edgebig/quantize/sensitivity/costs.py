"""What it costs to keep a layer in float, and the order in which layers are best kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgebig.records.quantize import NodeCoverage
from edgebig.records.sensitivity import LayerSensitivity

# How much the share of the weights counts beside the share of the work: it decides between layers of equal work.
_WEIGHT_TERM = 0.05


@dataclass(frozen=True)
class LayerCost:
    """What a layer loses in float.

    Attributes:
        work: Multiply-accumulates, or time that integers save.
        weights: Numbers in its weight.
    """

    work: float
    weights: int


def layer_costs(nodes: Iterable[NodeCoverage]) -> dict[str, LayerCost]:
    """The costs of nodes by their multiply-accumulates."""
    return {node.node: LayerCost(node.multiply_adds, node.weights) for node in nodes}


def shares(layers: Sequence[str], costs: Mapping[str, LayerCost]) -> tuple[dict[str, float], dict[str, float]]:
    """Each layer's share of the work and of the weights of all of them; what has no cost known counts as none."""
    none = LayerCost(0.0, 0)
    found = [costs.get(layer, none) for layer in layers]
    work = sum(cost.work for cost in found) or 1.0
    weights = sum(cost.weights for cost in found) or 1
    return (
        {layer: cost.work / work for layer, cost in zip(layers, found, strict=True)},
        {layer: cost.weights / weights for layer, cost in zip(layers, found, strict=True)},
    )


def by_damage_per_cost(
    sensitivities: Sequence[LayerSensitivity], costs: Mapping[str, LayerCost]
) -> tuple[LayerSensitivity, ...]:
    """Layers in the order in which keeping them in float buys most: squared damage, which adds up, over cost.

    Layers without damage come last, layers of infinite damage first.
    """
    work, weights = shares([row.layer for row in sensitivities], costs)
    # A layer that costs nothing known still costs a little: else the slightest damage would come first.
    least = 0.1 / max(len(sensitivities), 1)

    def worth(row: LayerSensitivity) -> tuple[bool, float]:
        cost = work[row.layer] + _WEIGHT_TERM * weights[row.layer] + least
        return (bool(np.isinf(row.damage)), float(row.damage**2 / cost))

    return tuple(sorted(sensitivities, key=worth, reverse=True))
