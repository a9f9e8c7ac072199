"""Scales and shifts before a layer with constant weights go into its weights and bias, where that is exact.

    W (s * x + t) + b  =  (W s) x + (W t + b)

for Conv (any group), ConvTranspose, Gemm, and MatMul by a constant matrix. A convolution that pads would see zeros
where it saw shifted zeros, so with padding (and for ConvTranspose always) only a pure scale is exact.

A Mul or Add that ends a normalisation written out in single operators stays where it is: onnxruntime recognises the
whole as LayerNormalization, which is worth more.
"""

from collections import Counter

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import add_initializer, constant_array, set_array
from edgebig.graph.weights import WeightedNode, as_weighted
from edgebig.passes.affine import BATCH_NORM, Affine, affine_data, per_channel, read_affine
from edgebig.passes.base import Pass, PassResult, Skipped
from edgebig.passes.channel_scales import by_input, input_channels
from edgebig.passes.rewire import is_private, replace_constant, rounded


class FoldAffineBefore(Pass):
    """Fold BatchNormalization, and Mul, Div, Add, Sub by constants, into the layer after them."""

    def call(self, model: ir.Model) -> PassResult:
        """Fold wherever it is exact; what is left alone is reported for BatchNormalization only."""
        counts: Counter[str] = Counter()
        skipped: list[Skipped] = []
        for graph in model.graphs():
            for node in reversed(graph):  # the one next to the layer first
                if affine_data(node) is None:
                    continue
                found = _check(node)
                if isinstance(found, str):
                    if node.op_type == BATCH_NORM:
                        skipped.append(Skipped(node.name or "", found))
                    continue
                site, affine, weight, bias = found
                _rewrite(site, affine, weight, bias)
                counts[f"{affine.kind} into {site.node.op_type}"] += 1
        return PassResult(model, bool(counts), counts, tuple(skipped))


def _check(node: ir.Node) -> tuple[WeightedNode, Affine, NDArray | None, NDArray | None] | str:
    """The layer, the affine node, and the new weight and bias (None: as they are); or why not."""
    site = _reader(node)
    if isinstance(site, str):
        return site
    shape = site.array().shape
    convolution = site.node.op_type in ("Conv", "ConvTranspose")
    axis = 1 - len(shape) if convolution else -1
    channels = input_channels(site)
    rank = len(shape) if convolution else 2 if site.node.op_type == "Gemm" else _rank(node)
    affine = read_affine(node, rank=rank, axis=axis, channels=channels)
    if isinstance(affine, str):
        return affine
    if affine.kind != BATCH_NORM and not _has_channels(affine, axis, channels):
        return f"its data may have fewer than {channels} channels before its constant is broadcast"
    if _ends_normalisation(affine):
        return "it ends a normalisation that onnxruntime fuses as a whole"
    if len(site.weight.uses()) > 1 or site.weight.is_graph_output():
        return f"the weights {site.weight.name!r} serve several nodes"
    if affine.shift.any() and site.node.op_type == "ConvTranspose":
        return f"its shift reaches the borders of {site.name!r} less often than the inside"
    if affine.shift.any() and _pads(site.node):
        return f"{site.name!r} pads with zeros, which the shift would have to reach too"
    dtype = site.array().dtype
    weight = site.array().astype(np.float64)
    scaled = rounded(_scaled(site, weight, affine.scale), dtype)
    if scaled is None:
        return f"the folded weights would overflow {dtype}"
    if not affine.shift.any():
        return site, affine, scaled, None
    bias = _bias(site)
    if isinstance(bias, str):
        return bias
    shifted = rounded(_response(site, weight, affine.shift) + bias, dtype)
    return (site, affine, scaled, shifted) if shifted is not None else f"the folded bias would overflow {dtype}"


def _reader(node: ir.Node) -> WeightedNode | str:
    """The layer that alone reads the node's output as its activations; or why there is none."""
    output = node.outputs[0]
    if not is_private(output):
        return "its output is used by several nodes, or is an output of the model"
    (reader, index), *_ = output.uses()
    site = as_weighted(reader)
    if site is None or index == site.weight_index or index > 1:
        return f"its output goes to {reader.op_type}, not to a layer with constant weights"
    if reader.graph is not node.graph:
        return f"it and {site.name!r} are in different graphs"
    if reader.op_type == "MatMul" and (site.weight_index != 1 or site.array().ndim != 2):
        return f"the weights of {site.name!r} are not a matrix on the right"
    if reader.op_type == "Gemm" and (site.weight_index != 1 or reader.attributes.get_int("transA", 0) != 0):
        return f"{site.name!r} transposes its data"
    return site


def _rank(node: ir.Node) -> int | None:
    shapes = [value.shape for value in (node.outputs[0], affine_data(node)) if value is not None]
    return next((len(shape) for shape in shapes if shape is not None), None)


def _has_channels(affine: Affine, axis: int, channels: int) -> bool:
    """Whether the data have all the channels already, instead of getting them from the constant."""
    if max(affine.scale.size, affine.shift.size) == 1:
        return True
    shape = affine.data.shape
    return shape is not None and len(shape) >= -axis and shape[axis] == channels


def _ends_normalisation(affine: Affine) -> bool:
    """Whether the data come, through scales and shifts, from a quotient or product of two computed values."""
    if affine.kind == BATCH_NORM:
        return False
    producer = affine.data.producer()
    while producer is not None and producer.op_type in ("Mul", "Add", "Div"):
        data = affine_data(producer)
        if data is None:
            return producer.op_type in ("Mul", "Div")
        producer = data.producer()
    return False


def _pads(node: ir.Node) -> bool:
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    return auto.startswith("SAME") or (auto == "NOTSET" and any(node.attributes.get_ints("pads", ())))


def _bias(site: WeightedNode) -> NDArray[np.float64] | str:
    """The bias the layer adds, [outputs] or [1]; or why it cannot be read. MatMul has none."""
    if site.bias is None:
        return np.zeros(1)
    array = constant_array(site.bias)
    channels = site.array().shape[site.output_axis]
    flat = None if array is None else per_channel(array, rank=2, axis=-1, channels=channels)
    if flat is None:
        return f"the bias of {site.name!r} is not constant, or has not one value per channel"
    return flat * site.node.attributes.get_float("beta", 1.0) if site.node.op_type == "Gemm" else flat


def _scaled(site: WeightedNode, weight: NDArray, scale: NDArray[np.float64]) -> NDArray[np.float64]:
    return weight * by_input(site, weight, scale)


def _response(site: WeightedNode, weight: NDArray, shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the layer makes of a constant input: W t, [outputs]."""
    product = weight * by_input(site, weight, shift)
    total = product.sum(axis=tuple(axis for axis in range(weight.ndim) if axis != site.output_axis))
    return total * site.node.attributes.get_float("alpha", 1.0) if site.node.op_type == "Gemm" else total


def _rewrite(site: WeightedNode, affine: Affine, weight: NDArray | None, bias: NDArray | None) -> None:
    node = site.node
    if weight is not None:
        set_array(site.weight, weight)
    node.replace_input_with(1 - site.weight_index, affine.data)
    graph = affine.node.graph
    if graph is None:
        raise ValueError(f"node {affine.node.name!r} is in no graph")
    graph.remove(affine.node, safe=True)
    if bias is None:
        return
    name = f"{site.weight.name}_bias"
    if node.op_type == "MatMul":
        _add_after(node, add_initializer(graph, name, bias))
        return
    replace_constant(node, 2, bias, name=name)
    if node.op_type == "Gemm":
        node.attributes["beta"] = ir.AttrFloat32("beta", 1.0)


def _add_after(node: ir.Node, bias: ir.Value) -> None:
    """Put an Add behind a MatMul; it takes over the MatMul's readers and, for an output of the model, its name."""
    output, graph = node.outputs[0], node.graph
    if graph is None:
        raise ValueError(f"node {node.name!r} is in no graph")
    add = ir.node("Add", [output, bias], name=f"{node.name}_bias" if node.name else None)
    result = add.outputs[0]
    result.type, result.shape = output.type, output.shape
    name, is_output = output.name, output.is_graph_output()
    ir.convenience.replace_all_uses_with(output, result, replace_graph_outputs=True)
    add.replace_input_with(0, output)
    result.name = name if is_output else f"{name}_biased"
    if is_output:
        output.name = f"{name}_unbiased"
    graph.insert_after(node, add)
