"""Scaling the input or output channels of a layer's weights."""

import numpy as np
from numpy.typing import NDArray

from edgebig.graph.weights import WeightedNode


def input_channels(site: WeightedNode) -> int:
    """How many channels a layer reads."""
    shape = site.array().shape
    if site.node.op_type == "Conv":
        return int(shape[1]) * site.groups
    if site.node.op_type == "ConvTranspose":
        return int(shape[0])
    return int(shape[1 - site.output_axis])


def by_input(site: WeightedNode, weight: NDArray, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """One value per input channel (or one for all), in a shape that broadcasts against the weight."""
    if values.size == 1:
        return values.reshape((1,) * weight.ndim)
    if site.node.op_type == "Conv":
        # [O, I/g, ...]: the outputs of group j read the inputs j * I/g ...
        by_group = np.repeat(values.reshape(site.groups, -1), weight.shape[0] // site.groups, axis=0)
        return by_group.reshape(*by_group.shape, *(1,) * (weight.ndim - 2))
    shape = [1] * weight.ndim
    shape[0 if site.node.op_type == "ConvTranspose" else 1 - site.output_axis] = values.size
    return values.reshape(shape)


def by_output(site: WeightedNode, weight: NDArray, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """One value per output channel (or one for all), in a shape that broadcasts against the weight."""
    if site.node.op_type == "ConvTranspose" and values.size > 1:
        # [I, O/g, ...]: the inputs of group j give the outputs j * O/g ...
        by_group = np.repeat(values.reshape(site.groups, -1), weight.shape[0] // site.groups, axis=0)
        return by_group.reshape(*by_group.shape, *(1,) * (weight.ndim - 2))
    shape = [1] * weight.ndim
    shape[site.output_axis] = values.size
    return values.reshape(shape)
