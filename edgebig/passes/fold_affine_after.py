"""Scales and shifts after a layer with constant weights go into its weights and bias.

    s * (W x + b) + t  =  (s W) x + (s b + t)

for Conv, ConvTranspose (any group), Gemm, and MatMul by a constant matrix. MatMul has no bias: the shift goes into
the Add that follows it, or into a new one. The pass refuses where another reader sees the layer's output, or where
another layer shares its weights.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import add_initializer, constant_array, set_array
from edgebig.graph.weights import WeightedNode, as_weighted
from edgebig.passes.affine import BATCH_NORM, Affine, affine_data, per_channel, read_affine
from edgebig.passes.base import Pass, PassResult, Skipped
from edgebig.passes.channel_scales import by_output
from edgebig.passes.rewire import is_private, remove_node, replace_constant, rounded


@dataclass(frozen=True)
class _Layer:
    """A layer with constant weights whose output channels lie on one axis.

    Attributes:
        site: The node and its weight.
        bias_add: The Add of constants that follows a MatMul, if there is one.
        output: What the layer gives, after `bias_add`.
        axis: The axis of the output channels, from the end.
        rank: The rank of the output; None where unknown.
        channels: How many output channels there are.
    """

    site: WeightedNode
    bias_add: ir.Node | None
    output: ir.Value
    axis: int
    rank: int | None
    channels: int


class FoldAffineAfter(Pass):
    """Fold BatchNormalization, and Mul, Div, Add, Sub by constants, into the layer before them."""

    def call(self, model: ir.Model) -> PassResult:
        """Fold wherever it is exact; what is left alone is reported for BatchNormalization only."""
        counts: Counter[str] = Counter()
        skipped: list[Skipped] = []
        for graph in model.graphs():
            for node in graph:
                data = affine_data(node)
                if data is None:
                    continue
                found = _check(node, data)
                if isinstance(found, str):
                    if node.op_type == BATCH_NORM:
                        skipped.append(Skipped(node.name or "", found))
                    continue
                layer, affine, weight, bias = found
                _rewrite(layer, affine, weight, bias)
                counts[f"{affine.kind} into {layer.site.node.op_type}"] += 1
        return PassResult(model, bool(counts), counts, tuple(skipped))


def _check(node: ir.Node, data: ir.Value) -> tuple[_Layer, Affine, NDArray | None, NDArray | None] | str:
    """The layer, the affine node, and the new weight and bias (None: as they are); or why not."""
    layer = _layer(data)
    if isinstance(layer, str):
        return layer
    if layer.site.node.graph is not node.graph:
        return f"it and {layer.site.name!r} are in different graphs"
    affine = read_affine(node, rank=layer.rank, axis=layer.axis, channels=layer.channels)
    if isinstance(affine, str):
        return affine
    if layer.site.node.op_type == "MatMul" and layer.bias_add is None and affine.kind in ("Add", "Sub"):
        return "a MatMul and its bias are one layer already"
    scales = not (affine.scale == 1).all()
    if scales and len(layer.site.weight.uses()) > 1:
        return f"the weights {layer.site.weight.name!r} serve several nodes"
    if scales and layer.site.weight.is_graph_output():
        return f"the weights {layer.site.weight.name!r} are an output of the model"
    bias = _bias(layer)
    if isinstance(bias, str):
        return bias
    dtype = layer.site.array().dtype
    weight = rounded(_scaled(layer.site, affine.scale), dtype) if scales else None
    if scales and weight is None:
        return f"the folded weights would overflow {dtype}"
    new_bias = np.zeros(1) if bias is None else bias
    new_bias = np.broadcast_to(new_bias * affine.scale + affine.shift, (layer.channels,))
    if bias is None and not new_bias.any():
        return layer, affine, weight, None
    rounded_bias = rounded(new_bias, dtype)
    if rounded_bias is None:
        return f"the folded bias would overflow {dtype}"
    return layer, affine, weight, rounded_bias


def _layer(output: ir.Value) -> _Layer | str:
    """The layer that computes a value which only one node reads; or why there is none."""
    producer = output.producer()
    if producer is None:
        return "its data come from no node"
    if not is_private(output):
        return f"the output of {producer.name!r} is used elsewhere too"
    bias_add: ir.Node | None = None
    site = as_weighted(producer)
    if site is None and producer.op_type == "Add":
        bias_add, site = producer, _biased_matmul(producer)
    if site is None:
        return f"its data come from {producer.op_type}, not from a layer with constant weights"
    shape = site.array().shape
    if site.node.op_type == "MatMul" and (site.weight_index != 1 or len(shape) != 2):
        return f"the weights of {site.name!r} are not a matrix on the right"
    convolution = site.node.op_type in ("Conv", "ConvTranspose")
    known = len(output.shape) if output.shape is not None else None
    rank = len(shape) if convolution else 2 if site.node.op_type == "Gemm" else known
    axis = 1 - len(shape) if convolution else -1
    channels = shape[site.output_axis] * (site.groups if site.node.op_type == "ConvTranspose" else 1)
    return _Layer(site, bias_add, output, axis, rank, channels)


def _biased_matmul(add: ir.Node) -> WeightedNode | None:
    data = affine_data(add)
    producer = None if data is None or not is_private(data) else data.producer()
    return as_weighted(producer) if producer is not None and producer.op_type == "MatMul" else None


def _bias(layer: _Layer) -> NDArray[np.float64] | str | None:
    """The layer's bias [channels] or [1] as it is added, None without one; or why it cannot be read."""
    if layer.bias_add is not None:
        affine = read_affine(layer.bias_add, rank=layer.rank, axis=layer.axis, channels=layer.channels)
        return affine if isinstance(affine, str) else affine.shift
    value = layer.site.bias
    if value is None:
        return None
    array = constant_array(value)
    if array is None:
        return f"the bias {value.name!r} of {layer.site.name!r} is not constant"
    flat = per_channel(array, rank=2, axis=-1, channels=layer.channels)
    if flat is None:
        return f"the bias {value.name!r} of {layer.site.name!r} has not one value per channel"
    return flat * layer.site.node.attributes.get_float("beta", 1.0) if layer.site.node.op_type == "Gemm" else flat


def _scaled(site: WeightedNode, scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weight with every output channel scaled, float64, in the weight's own shape."""
    weight = site.array().astype(np.float64)
    return weight * by_output(site, weight, scale)


def _rewrite(layer: _Layer, affine: Affine, weight: NDArray | None, bias: NDArray | None) -> None:
    node = layer.site.node
    if weight is not None:
        set_array(layer.site.weight, weight)
    name = f"{layer.site.weight.name}_bias"
    if bias is None:
        remove_node(affine.node, layer.output)
    elif layer.bias_add is not None:
        data = affine_data(layer.bias_add)
        replace_constant(layer.bias_add, 1 if layer.bias_add.inputs[0] is data else 0, bias, name=name)
        remove_node(affine.node, layer.output)
    elif node.op_type == "MatMul":
        _turn_into_add(affine, layer.output, bias, name)
    else:
        replace_constant(node, 2, bias, name=name)
        if node.op_type == "Gemm":
            node.attributes["beta"] = ir.AttrFloat32("beta", 1.0)
        remove_node(affine.node, layer.output)


def _turn_into_add(affine: Affine, data: ir.Value, bias: NDArray, name: str) -> None:
    """Put an Add where the affine node was."""
    graph = affine.node.graph
    if graph is None:
        raise ValueError(f"node {affine.node.name!r} is in no graph")
    value = add_initializer(graph, name, bias)
    add = ir.node("Add", [data, value], name=f"{affine.node.name}_shift" if affine.node.name else None)
    add.outputs[0].name = f"{affine.output.name}_shifted"
    add.outputs[0].type, add.outputs[0].shape = affine.output.type, affine.output.shape
    graph.insert_before(affine.node, add)
    remove_node(affine.node, add.outputs[0])
