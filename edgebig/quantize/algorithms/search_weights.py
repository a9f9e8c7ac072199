"""Weight scales by the smallest error seen from the layer's output (see `edgebig.quantize.weight_search`)."""

from collections.abc import Sequence

from edgebig.quantize.algorithms.layers import Layer, mean_squares
from edgebig.quantize.engine import StaticEngine
from edgebig.quantize.weights import QuantizedWeight, quantize_weight


def search_weights(engine: StaticEngine, layers: Sequence[Layer]) -> dict[str, QuantizedWeight]:
    """Quantize the weights of layers.

    Args:
        engine: Calibrated: errors are weighed by the mean squares of the inputs' channels.
        layers: The layers.

    Returns:
        Node name -> its weight; nodes that share a weight share the result.
    """
    found: dict[str, QuantizedWeight] = {}
    for layer in layers:
        weight = quantize_weight(
            layer.weighted,
            layer.rule.bits,
            pair_sums=layer.rule.pair_sums,
            search=True,
            mean_squares=mean_squares(engine, layer),
        )
        found.update(dict.fromkeys(layer.names, weight))
    return found
