"""Better integers at the same scales, layer by layer: rounding with feedback (`rounding`), or learned (`adaround`)."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgebig.data.samples import Samples
from edgebig.quantize.algorithms.adaround import Descent, learn_rounding
from edgebig.quantize.algorithms.input_moments import InputMoments, moment_bytes, observe_inputs
from edgebig.quantize.algorithms.layers import Layer
from edgebig.quantize.algorithms.rounding import output_error, round_with_feedback
from edgebig.quantize.engine import StaticEngine
from edgebig.quantize.weight_search import pair_rule
from edgebig.quantize.weights import QuantizedWeight, largest_integer, relative_error

Array = NDArray[np.float64]
Integers = NDArray[np.int8]
# Layers whose second moments alone exceed this share of the budget keep their rounding.
LARGEST_SHARE = 0.5
BYTES = 4  # of a float32


def feedback(weight: Array, inner: Array, scales: Array, start: Integers, *, limit: int, pairs: int) -> Integers:
    """GPTQ as a method of `round_weights`."""
    return round_with_feedback(weight, inner, scales, limit=limit, pairs=pairs)


Method = Callable[..., Integers]
"""Rounds a layer; see `feedback` for its arguments, and `rounding` for their shapes."""
METHODS: Mapping[str, Method] = {"gptq": feedback, "adaround": partial(learn_rounding, descent=Descent())}


def round_weights(
    engine: StaticEngine,
    layers: Sequence[Layer],
    start: Mapping[str, QuantizedWeight],
    samples: Samples,
    *,
    method: str = "gptq",
    budget: int,
    larger: float = 1.0,
    threads: int = 0,
) -> dict[str, QuantizedWeight]:
    """Round the weights of layers again.

    Args:
        engine: The engine.
        layers: The layers.
        start: Node name -> its weight so far: the scales stay, and where nothing is gained the integers too.
        samples: What the layers' inputs are observed on.
        method: A name out of `METHODS`.
        budget: Bytes that second moments and activations may take together.
        larger: How many times the bytes of the engine's sample one feed has.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.

    Returns:
        `start`, with the weights that became better.
    """
    found = dict(start)
    fitting = [layer for layer in layers if moment_bytes(layer) <= LARGEST_SHARE * budget]
    model, shapes = engine.prepared.model, engine.prepared.facts.shapes
    sizes = {name: int(math.prod(shape) * BYTES * larger) for name, shape in shapes.items()}
    for layer, moments in observe_inputs(model, fitting, samples, budget=budget, sizes=sizes, threads=threads):
        better = _rounded(layer, start[layer.names[0]], moments, METHODS[method])
        if better is not None:
            found.update(dict.fromkeys(layer.names, better))
    return found


def _rounded(layer: Layer, before: QuantizedWeight, moments: InputMoments, method: Method) -> QuantizedWeight | None:
    """The layer's weight, where it errs less than before on the moments it was made from."""
    weighted, inner = layer.weighted, moments.inner(centred=layer.has_bias)
    if not np.isfinite(inner).all():
        return None
    array = weighted.array().astype(np.float32)
    matrix = weighted.to_matrix(array).astype(np.float64)
    shape = len(inner), len(matrix) // len(inner), matrix.shape[1]
    matrix, scales = matrix.reshape(shape), before.scales.astype(np.float64).reshape(shape[:2])
    pairs = pair_rule(weighted, pair_sums=layer.rule.pair_sums)
    old = weighted.to_matrix(before.integers).reshape(shape)
    integers = method(matrix, inner, scales, old, limit=largest_integer(layer.rule.bits), pairs=pairs)
    if output_error(matrix, integers, scales, inner) >= output_error(matrix, old, scales, inner):
        return None
    chosen = weighted.from_matrix(integers.reshape(-1, shape[2]))
    return QuantizedWeight(
        chosen, before.scales, before.axis, relative_error(array, chosen, before.scales, before.axis)
    )
