"""Convolutions of images that were quantized at run time."""

import numpy as np

from edgebig.kernels import dots
from edgebig.kernels.dynamic_conv import DynamicConv
from edgebig.runtime.lower.builder import Builder, Given
from edgebig.runtime.lower.convolution import Geometry, without_zero_points
from edgebig.runtime.lower.follow import Tail
from edgebig.runtime.lower.matrix import activation_behind
from edgebig.runtime.lower.parameters import Weights, signed
from edgebig.runtime.plan import View

_CONSTANTS = ("weights", "column_sums", "bias", "multiplier")


def emit_dynamic_conv(b: Builder, tail: Tail, geometry: Geometry, x: View, parameters: Given, weights: Weights) -> None:
    """Emit an integer convolution whose result is real.

    Args:
        b: The lowering.
        tail: Its result and the bias added to it.
        geometry: Its shapes.
        x: The quantized image.
        parameters: Its scale and zero point: a constant, or where an earlier step puts them.
        weights: [filters, channels / groups, kh, kw], scales along axis 0.
    """
    activation, value = activation_behind(b, tail.value)
    array, points = signed(weights, 0)
    array, points = without_zero_points(array.reshape(geometry.filters, -1, *geometry.kernel), points)
    dot = dots.best(array.astype(np.int32) - points.reshape(-1, 1, 1, 1)).name
    pixels = geometry.batch * geometry.height * geometry.width // (geometry.strides[0] * geometry.strides[1])
    tasks = b.tasks(pixels * array.size)
    step = DynamicConv(dot=dot, **geometry.fields, activation=activation, tasks=tasks)
    scales = weights.scales(geometry.filters)
    packed = b.constants(lambda: step.constants(array, tail.bias, scales, points), _CONSTANTS)
    made = b.result(value, "f32", geometry.order)
    b.emit(step, {"x": x, "parameters": parameters, "y": made, **packed})
