"""Places where channels can be scaled without changing what the model computes.

A layer reads x; whoever made x can make x / s just as well, if only layers that can take s into their weights read it:
    W x + b = (W s) (x / s) + b
What makes x is a layer with constant weights, a normalisation's scale and shift, a scale and shift by constants, or a
product one factor of which comes from such a layer; in between may stand what commutes with positive factors per
channel: Relu, LeakyRelu, PRelu, pools (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", 2019; Xiao et al., "SmoothQuant", 2022). A Clip with an upper limit does not commute.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from edgebig.graph.edit import constant_array
from edgebig.graph.weights import WeightedNode, as_weighted
from edgebig.passes.affine import read_affine
from edgebig.passes.channel_scales import input_channels
from edgebig.quantize.clipping import clip_limits

Shapes = Mapping[str, tuple[int, ...]]
STANDARD = ("", "ai.onnx")
COMMUTING = ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Identity")
NORMALISATIONS = ("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")


@dataclass(frozen=True)
class Site:
    """Channels that can be scaled.

    Attributes:
        value: What the layers read.
        readers: The layers.
        axis: The axis of its channels, from the end.
        channels: How many there are.
        source: The node that takes the division into its constants; None where there is none, and why in `reason`.
        between: Values from the source's output to `value`, this included.
        reason: Why there is no source.
    """

    value: ir.Value
    readers: tuple[WeightedNode, ...]
    axis: int
    channels: int
    source: ir.Node | None
    between: tuple[ir.Value, ...]
    reason: str = ""

    @property
    def smooths(self) -> bool:
        """Whether it is one of SmoothQuant's (matrices only) rather than of equalisation (with convolutions)."""
        convolutions = ("Conv", "ConvTranspose")
        by_convolution = self.source is not None and self.source.op_type in convolutions
        return self.readers[0].node.op_type not in convolutions and not by_convolution


def find_sites(graph: ir.Graph, shapes: Shapes) -> list[Site]:
    """All places in a graph, in its order.

    Args:
        graph: The float graph, constants folded.
        shapes: Value name -> shape on a real sample.
    """
    sites: list[Site] = []
    seen: set[ir.Value] = set()
    for node in graph:
        weighted = as_weighted(node)
        if weighted is None or weighted.activation in seen:
            continue
        seen.add(weighted.activation)
        site = _site(weighted, shapes)
        if site is not None:
            sites.append(site)
    return sites


def _site(first: WeightedNode, shapes: Shapes) -> Site | None:
    """The place at what a layer reads; None where one of its layers can take no factors in."""
    value, found = first.activation, []
    others = value.is_graph_output()
    for use in value.uses():
        reader = as_weighted(use.node)
        if reader is None or reader.activation is not value or not _can_scale_inputs(reader):
            others = True
        else:
            found.append(reader)
    if not found or any(_layout(reader) != _layout(first) for reader in found):
        return None
    axis, channels = _layout(first)
    if others:
        return Site(value, tuple(found), axis, channels, None, (value,), "other nodes read its input too")
    source, between, reason = _find_source(value, axis, channels, shapes)
    return Site(value, tuple(found), axis, channels, source, between, reason)


def _layout(reader: WeightedNode) -> tuple[int, int]:
    """The axis of a layer's input channels, from the end, and their number."""
    convolution = reader.node.op_type in ("Conv", "ConvTranspose")
    return (1 - reader.array().ndim if convolution else -1), input_channels(reader)


def _can_scale_inputs(reader: WeightedNode) -> bool:
    if len(reader.weight.uses()) != 1 or reader.weight.is_graph_output() or reader.weight_index != 1:
        return False
    return (
        reader.array().ndim == 2 if reader.node.op_type == "MatMul" else not reader.node.attributes.get_int("transA", 0)
    )


def _find_source(
    value: ir.Value, axis: int, channels: int, shapes: Shapes
) -> tuple[ir.Node | None, tuple[ir.Value, ...], str]:
    """The node that can divide the channels of a value, the values up to it, or why there is none."""
    between = [value]
    while True:
        current = between[-1]
        node = current.producer()
        if node is None or node.domain not in ("", "ai.onnx", "com.microsoft"):
            return None, (value,), "no layer makes its input"
        reason = _cannot_divide(node, current, axis, channels, shapes)
        if reason == "":
            return node, tuple(between), ""
        following = _commutes(node, axis, channels, shapes)
        if following is None:
            return None, (value,), reason
        if following.is_graph_output() or len(following.uses()) != 1:
            return None, (value,), f"other nodes read the input of {node.op_type} too"
        between.append(following)


def _commutes(node: ir.Node, axis: int, channels: int, shapes: Shapes) -> ir.Value | None:
    """The input whose channels can be scaled instead of the node's output's; None where factors do not pass."""
    data = node.inputs[0] if node.inputs else None
    if node.op_type in COMMUTING:
        return data if len([output for output in node.outputs if output.name]) == 1 else None
    if node.op_type == "PRelu":
        return data
    if node.op_type == "Clip":
        return data if clip_limits(node) == (0.0, float("inf")) else None
    if node.op_type == "Mul" and len(node.inputs) == 2:
        return _factor(node, axis, shapes)
    if node.op_type in ("Reshape", "Flatten", "Squeeze", "ReduceMean") and data is not None:
        # [N, C, 1, 1] or [N, C, H, W] (mean) to [N, C]: the channels stay one by one.
        before, after = shapes.get(data.name or ""), shapes.get(node.outputs[0].name or "")
        if before is None or after is None or len(before) != 4 or before[1] != channels or after[-1] != channels:
            return None
        flat = len(after) == 2 and axis == -1 and before[0] == after[0]
        return data if flat and (node.op_type == "ReduceMean" or before[2:] == (1, 1)) else None
    return None


def _factor(node: ir.Node, axis: int, shapes: Shapes) -> ir.Value | None:
    """Of a product of two computed values of one shape, the factor that a layer makes (gated units)."""
    a, b = node.inputs
    if a is None or b is None or constant_array(a) is not None or constant_array(b) is not None:
        return None
    shape = shapes.get(a.name or "")
    if shape is None or shape != shapes.get(b.name or "") or a is b:
        return None
    for value in (b, a):
        producer = value.producer()
        if producer is not None and len(value.uses()) == 1 and layer_of(producer) is not None:
            return value
    return None


def layer_of(node: ir.Node) -> WeightedNode | None:
    """The layer a node is, or the MatMul whose bias it adds."""
    if node.op_type != "Add":
        return as_weighted(node)
    for value, other in zip(node.inputs, reversed(node.inputs), strict=True):
        producer = None if value is None else value.producer()
        if producer is not None and producer.op_type == "MatMul" and constant_array(other) is not None:
            return as_weighted(producer)
    return None


def _cannot_divide(node: ir.Node, output: ir.Value, axis: int, channels: int, shapes: Shapes) -> str:
    """Why a node cannot take a division of its output's channels into its constants; "" where it can."""
    constants = [value for value in node.inputs[1:] if value is not None]
    if node.op_type in NORMALISATIONS:
        if axis != -1 or any(constant_array(value) is None for value in constants) or not constants:
            return f"the constants of {node.op_type} cannot take the factors"
        shape = constant_array(constants[0])
        return "" if shape is not None and shape.size == channels else f"{node.op_type} has one scale for all channels"
    layer = layer_of(node)
    if layer is not None:
        return _layer_cannot_divide(node, layer, axis, channels)
    if node.op_type not in ("Mul", "Add"):
        return (
            f"factors do not pass {node.op_type}" if node.op_type != "Clip" else "the upper limit of its Clip is fixed"
        )
    rank = shapes.get(output.name or "")
    affine = read_affine(node, rank=None if rank is None else len(rank), axis=axis, channels=channels)
    if isinstance(affine, str) or affine.scale.size != channels:
        return "factors do not pass a Mul of computed values"
    return ""


def _layer_cannot_divide(node: ir.Node, layer: WeightedNode, axis: int, channels: int) -> str:
    array = layer.array()
    own = 1 - array.ndim if layer.node.op_type in ("Conv", "ConvTranspose") else -1
    outputs = array.shape[layer.output_axis] * (layer.groups if layer.node.op_type == "ConvTranspose" else 1)
    if outputs != channels or (own != axis and not (own == -3 and axis == -1)):
        return f"the channels of {layer.name} are not those it reads"
    if layer.node.op_type == "MatMul" and (layer.weight_index != 1 or array.ndim != 2):
        return f"the weights of {layer.name} are not a matrix on the right"
    if len(layer.weight.uses()) != 1 or layer.weight.is_graph_output():
        return f"the weights of {layer.name} serve several nodes"
    if node is not layer.node and len(layer.node.outputs[0].uses()) != 1:
        return f"the product of {layer.name} is read without its bias too"
    bias = _bias_of(node, layer)
    if bias is None:
        return ""
    constant = constant_array(bias)
    if constant is None or constant.size not in (1, channels) or (constant.size > 1 and constant.shape[-1] != channels):
        return f"the bias of {layer.name} is not one constant per channel"
    return ""


def _bias_of(node: ir.Node, layer: WeightedNode) -> ir.Value | None:
    if node is layer.node:
        return layer.bias
    return next((value for value in node.inputs if constant_array(value) is not None), None)
