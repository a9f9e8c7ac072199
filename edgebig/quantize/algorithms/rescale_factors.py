"""Which factors a place's channels get: those with the least estimated error of the layers' outputs.

With x in 255 steps and every row of W in 127, and rounding errors spread evenly over a step, the error of W x is
    sum over channels of  (step of x)^2 / 12 * |W column|^2 * s^2   +   (step of the row)^2 / 12 * mean(x^2) / s^2 .
Equalisation (Nagel et al., 2019) would take s = sqrt(range of x / range of W), SmoothQuant (Xiao et al., 2022)
s = max|x|^alpha / max|W|^(1 - alpha) with one alpha; here alpha is searched for each place by that estimate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgebig.graph.weights import WeightedNode
from edgebig.quantize.algorithms.rescale_sites import Site
from edgebig.quantize.calibrate.statistics import TensorStatistics

Array = NDArray[np.float64]
ALPHAS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ACTIVATION_STEPS, WEIGHT_STEPS = 255.0, 127.0
# Channels smaller than this share of the largest are scaled as if they had it: what they hold may be noise.
SMALLEST = 1e-5


@dataclass(frozen=True)
class Factors:
    """Factors of a place.

    Attributes:
        values: s, one per channel; what is read is divided by it.
        error: The estimated squared error of the outputs with them.
        before: The same without.
    """

    values: Array
    error: float
    before: float


def choose_factors(site: Site, statistics: TensorStatistics) -> Factors:
    """Search the factors of a place.

    Args:
        site: The place.
        statistics: Of its value, channels included.
    """
    rows = [_magnitudes(reader) for reader in site.readers]
    low, high = statistics.channel_low.astype(np.float64), statistics.channel_high.astype(np.float64)
    power = statistics.mean_squares
    largest = _floored(np.maximum(np.abs(low), np.abs(high)))
    weight = _floored(np.max([row.array.max(axis=(0, 2)) for row in rows], axis=0))
    before = _error(np.ones(site.channels), rows, low, high, power)
    best = Factors(np.ones(site.channels), before, before)
    for alpha in ALPHAS:
        values = largest**alpha / weight ** (1.0 - alpha)
        values = values / np.exp(np.log(values).mean())
        error = _error(values, rows, low, high, power)
        if error < best.error:
            best = Factors(values, error, before)
    return best


def _floored(values: Array) -> Array:
    return np.maximum(values, SMALLEST * values.max()) if values.max() > 0 else np.ones_like(values)


@dataclass(frozen=True)
class _Magnitudes:
    """Magnitudes of a weight.

    Attributes:
        array: [outputs, input channels, kernel positions]; [1, channels, positions] for depthwise convolutions.
        depthwise: Whether every channel has a row, and so a step, of its own: factors cancel in its rounding then.
    """

    array: Array
    depthwise: bool


def _magnitudes(reader: WeightedNode) -> _Magnitudes:
    array = np.abs(reader.array().astype(np.float64))
    if reader.node.op_type != "Conv":
        rows = np.moveaxis(array, reader.output_axis, 0)
        return _Magnitudes(rows.reshape(rows.shape[0], rows.shape[1], -1), depthwise=False)
    outputs, inputs = array.shape[:2]
    array = array.reshape(outputs, inputs, -1)
    if reader.is_depthwise:
        by_channel = array.reshape(reader.groups, outputs // reader.groups, -1)
        return _Magnitudes(by_channel.reshape(1, reader.groups, -1), depthwise=True)
    spread = np.zeros((outputs, inputs * reader.groups, array.shape[2]))
    for row in range(outputs):
        start = row * reader.groups // outputs * inputs
        spread[row, start : start + inputs] = array[row]
    return _Magnitudes(spread, depthwise=False)


def _error(values: Array, rows: list[_Magnitudes], low: Array, high: Array, power: Array) -> float:
    step = (max((high / values).max(), 0.0) - min((low / values).min(), 0.0)) / ACTIVATION_STEPS
    total = 0.0
    for row in rows:
        array = row.array
        total += step**2 / 12 * float((np.square(array).sum(axis=(0, 2)) * values**2).sum())
        if not row.depthwise:
            steps = (array * values[None, :, None]).max(axis=(1, 2)) / WEIGHT_STEPS
            total += float(np.square(steps).sum()) / 12 * array.shape[2] * float((power / values**2).sum())
    return total
