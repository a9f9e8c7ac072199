"""Changes of the quantized model short of leaving layers in float: other scales of weights, other ranges of tensors."""

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgebig.diagnose.carriers import Params
from edgebig.diagnose.causes import Context
from edgebig.diagnose.causes.context import LayerWeight
from edgebig.diagnose.observe import named_values
from edgebig.diagnose.operators import DEQUANTIZE, QUANTIZE, TWINS
from edgebig.diagnose.pair import Pair
from edgebig.diagnose.ranges import Grid, grid_of, integer_limits
from edgebig.diagnose.restore import replace_value, restored_model
from edgebig.diagnose.statistics import TensorFacts
from edgebig.diagnose.stored import is_dequantized_constant
from edgebig.graph.edit import add_initializer, constant_array, set_array

_BIASED = ("Conv", "Gemm", "ConvTranspose")


def with_channel_weights(context: Context, weights: Mapping[ir.Node, LayerWeight]) -> ir.Model:
    """A copy of the quantized model whose weights are rounded to 8 bits with a scale per output channel.

    Args:
        context: Both models.
        weights: Layer -> its weight. The copy holds the rounded numbers as floats; a layer that is an integer
            operator is restored with them, so that its activations are floats too.
    """
    integer = [layer for layer, weight in weights.items() if weight.node.op_type in TWINS]
    copy = restored_model(context.inspected, integer)
    named = named_values(copy.graph)
    for layer in integer:
        weighted = context.weighted_node(layer)
        value = named.get(f"edgebig/constant/{weighted.weight.name}") if weighted is not None else None
        if value is not None:
            set_array(value, channel_rounded(weights[layer]))
    for layer, weight in weights.items():
        node = named[weight.node.outputs[0].name or ""].producer() if layer not in integer else None
        if node is None:
            continue
        index = max(i for i, value in enumerate(weight.node.inputs[:2]) if is_dequantized_constant(value))
        node.replace_input_with(index, add_initializer(copy.graph, "edgebig/weight", channel_rounded(weight)))
        _free_bias(copy.graph, node)
    return copy


def channel_rounded(weight: LayerWeight) -> NDArray:
    """The float weight rounded to symmetric 8 bits with a scale per output channel, in float32."""
    rows = weight.by_channel(weight.original).astype(np.float64)
    peaks = np.abs(rows).max(axis=1, initial=0.0)
    scales = np.where(peaks > 0, peaks / 127.0, 1.0)
    shape = [-1 if index == weight.output_axis else 1 for index in range(weight.original.ndim)]
    scale = scales.reshape(shape)
    return (np.rint(weight.original / scale) * scale).astype(np.float32)


def with_ranges(context: Context, tensors: Mapping[Pair, TensorFacts]) -> ir.Model:
    """A copy of the quantized model whose tensors are quantized for the range that was seen on the samples.

    Args:
        context: Both models.
        tensors: Tensors with QuantizeLinear nodes of their own -> what was seen of them.
    """
    copy = context.inspected.quantized.clone()
    named = named_values(copy.graph)
    for pair, facts in tensors.items():
        params = pair.params
        if params is None:
            continue
        low, high = integer_limits(params)
        scale, point = _scale_for(facts, low, high)
        kind = constant_array(params.zero_point)
        dtype = np.uint8 if kind is None else kind.dtype
        new_scale = add_initializer(copy.graph, "edgebig/scale", np.asarray(scale, np.float32))
        new_point = add_initializer(copy.graph, "edgebig/zero_point", np.asarray(point, dtype))
        for node in pair.points:
            quantize = named[node.outputs[0].name or ""].producer()
            readers = [user for user, _ in node.outputs[0].uses() if user.op_type == DEQUANTIZE]
            for item in (quantize, *(named[user.outputs[0].name or ""].producer() for user in readers)):
                if item is None or item.op_type not in (QUANTIZE, DEQUANTIZE):
                    continue
                if len(item.inputs) < 3:
                    item.resize_inputs(3)
                item.replace_input_with(1, new_scale)
                item.replace_input_with(2, new_point)
            for reader in readers:
                for user, _ in reader.outputs[0].uses():
                    _free_bias(copy.graph, named[user.outputs[0].name or ""].producer())
    return copy


def with_wide_tensors(model: ir.Model) -> ir.Model:
    """A copy of a quantized model whose tensors are rounded to 65536 steps instead of 256 over the same range.

    Args:
        model: Prepared, in QDQ form. The copy rounds in floats, so that any operator set will do.
    """
    copy = model.clone()
    for node in list(copy.graph):
        quantize = node.inputs[0].producer() if node.op_type == DEQUANTIZE and node.inputs[0] is not None else None
        if quantize is None or quantize.op_type != QUANTIZE or quantize.inputs[0] is None:
            continue
        grid = _grid(quantize)
        if grid is not None and grid == _grid(node):  # another scale on the way out computes something
            replace_value(node.outputs[0], _rounded(copy.graph, node, quantize.inputs[0], grid))
    RemoveUnusedNodesPass()(copy)
    copy.graph.sort()
    return copy


def _rounded(graph: ir.Graph, node: ir.Node, value: ir.Value, grid: Grid) -> ir.Value:
    """A value cut off and rounded in 16 bits, before `node`. A coarse step hides up to one of itself at either end;
    an end at 0 below may be a Relu that was dropped, and stays."""
    low, high = grid.low - (grid.scale if grid.low else 0.0), grid.high + grid.scale
    step = (high - low) / 65535
    limits = [add_initializer(graph, "edgebig/limit", np.asarray(limit, np.float32)) for limit in (low, high)]
    scale = add_initializer(graph, "edgebig/step", np.asarray(step, np.float32))
    for op_type, operands in (("Clip", limits), ("Div", [scale]), ("Round", []), ("Mul", [scale])):
        made = ir.node(op_type, inputs=[value, *operands])
        made.outputs[0].name = f"edgebig/wide/{op_type}/{node.outputs[0].name}"
        graph.insert_before(node, made)
        value = made.outputs[0]
    return value


def _grid(node: ir.Node) -> Grid | None:
    point = node.inputs[2] if len(node.inputs) > 2 else None
    return None if node.inputs[1] is None else grid_of(Params(node.inputs[1], point, 1, node))


def has_own_points(pair: Pair) -> bool:
    """Whether a tensor is quantized by nodes of its own, whose integers only DequantizeLinear reads."""
    users = [user for point in pair.points for user, _ in point.outputs[0].uses()]
    return bool(users) and all(user.op_type == DEQUANTIZE for user in users)


def channel_weights(context: Context, layers: Collection[ir.Node]) -> dict[ir.Node, LayerWeight]:
    """Of layers, those whose weight has one scale."""
    found = {}
    for layer in layers:
        weight = context.weight(layer)
        known = weight is not None and (
            weight.node.op_type in TWINS or any(map(is_dequantized_constant, weight.node.inputs[:2]))
        )
        if weight is not None and known and weight.scale.size == 1:
            found[layer] = weight
    return found


def _scale_for(facts: TensorFacts, low: int, high: int) -> tuple[float, int]:
    """Scale and zero point for the numbers seen, zero among them."""
    first, last = min(facts.low, 0.0), max(facts.high, 0.0)
    scale = (last - first) / (high - low) or 1.0
    return scale, int(np.clip(round(low - first / scale), low, high))


def _free_bias(graph: ir.Graph, node: ir.Node | None) -> None:
    """Give a node its bias as floats: the integers were made for the scales that it had before."""
    value = node.inputs[2] if node is not None and len(node.inputs) > 2 else None
    source = value.producer() if value is not None else None
    if node is None or source is None or source.op_type != DEQUANTIZE or node.op_type not in _BIASED:
        return
    integers, scale = constant_array(source.inputs[0]), constant_array(source.inputs[1])
    if integers is not None and scale is not None:
        floats = (integers.astype(np.float64) * scale).astype(np.float32)
        node.replace_input_with(2, add_initializer(graph, "edgebig/bias", floats))
