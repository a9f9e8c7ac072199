"""Float models and quantized versions of them in which a test plants a defect."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.samples import Samples, open_samples
from edgebig.diagnose.causes import Context
from edgebig.diagnose.inspected import Inspected, label
from edgebig.diagnose.match import match_graphs
from edgebig.diagnose.observe import layer_inputs, measure_sizes, observe_tensors
from edgebig.diagnose.prepare import prepare
from edgebig.diagnose.suspects import Suspects
from edgebig.graph.edit import add_initializer, working_copy
from edgebig.graph.interface import input_specs
from tests.quantize.build import build, normal

NET = """g (float[n, 16] x) => (float[n, 8] y) {
    a = MatMul (x, wa)
    b = Relu (a)
    c = MatMul (b, wb)
    d = Relu (c)
    y = MatMul (d, wc)
}"""


def net() -> ir.Model:
    """MatMul 16 to 32, Relu, MatMul 32 to 32, Relu, MatMul 32 to 8."""
    return build(
        NET,
        wa=normal(16, 32, scale=0.25, seed=1),
        wb=normal(32, 32, scale=0.18, seed=2),
        wc=normal(32, 8, scale=0.18, seed=3),
    )


def net_samples(count: int = 64) -> dict[str, NDArray]:
    """Samples for `net`."""
    return {"x": normal(count, 16, seed=9)}


def qdq(
    model: ir.Model,
    tensors: Mapping[str, tuple[float, float]],
    weights: Mapping[str, int | None] | None = None,
    *,
    prefix: str = "q",
) -> ir.Model:
    """Quantize by hand: uint8 tensors with the ranges given, int8 weights.

    Args:
        model: A float model.
        tensors: Tensor -> its range; readers read what DequantizeLinear gives.
        weights: Weight -> the axis of its scales; None for one scale.
        prefix: Of new names.
    """
    copy = working_copy(model)
    graph = copy.graph
    named = {value.name: value for node in graph for value in node.outputs}
    named |= {value.name: value for value in graph.inputs}
    for name, (low, high) in tensors.items():
        scale, low = np.float32((high - low) / 255), min(low, 0.0)
        point = np.uint8(np.clip(round(-low / scale), 0, 255)) if scale > 0 else np.uint8(0)
        _insert(graph, named[name], np.asarray(scale), np.asarray(point), prefix)
    for name, axis in (weights or {}).items():
        value = graph.initializers[name]
        array = value.const_value.numpy()  # type: ignore[union-attr]
        rest = tuple(index for index in range(array.ndim) if index != axis) if axis is not None else None
        peaks = np.abs(array).max(axis=rest, keepdims=True)
        scale = np.asarray(peaks / 127, np.float32)
        stored = np.clip(np.rint(array / scale), -127, 127).astype(np.int8)
        _dequantize(graph, value, stored, scale.reshape(-1) if axis is not None else scale.reshape(()), axis, prefix)
    graph.sort()
    return copy


def _insert(graph: ir.Graph, value: ir.Value, scale: NDArray, point: NDArray, prefix: str) -> None:
    users = list(value.uses())
    output = value.is_graph_output()
    scale_value = add_initializer(graph, f"{prefix}/{value.name}/scale", scale)
    point_value = add_initializer(graph, f"{prefix}/{value.name}/zero_point", point)
    quantize = ir.node("QuantizeLinear", inputs=[value, scale_value, point_value])
    quantize.outputs[0].name = f"{prefix}/{value.name}/quantized"
    dequantize = ir.node("DequantizeLinear", inputs=[quantize.outputs[0], scale_value, point_value])
    dequantize.outputs[0].name = f"{prefix}/{value.name}/dequantized"
    graph.extend([quantize, dequantize])
    for user, index in users:
        user.replace_input_with(index, dequantize.outputs[0])
    if output:
        name, value.name = value.name, f"{prefix}/{value.name}/raw"
        dequantize.outputs[0].name = name
        dequantize.outputs[0].shape, dequantize.outputs[0].type = value.shape, value.type
        graph.outputs[list(graph.outputs).index(value)] = dequantize.outputs[0]


def _dequantize(
    graph: ir.Graph, value: ir.Value, stored: NDArray, scale: NDArray, axis: int | None, prefix: str
) -> None:
    integers = add_initializer(graph, f"{prefix}/{value.name}/quantized", stored)
    scale_value = add_initializer(graph, f"{prefix}/{value.name}/scale", scale)
    attributes = {} if axis is None else {"axis": axis}
    node = ir.node("DequantizeLinear", inputs=[integers, scale_value], attributes=attributes)
    node.outputs[0].name = f"{prefix}/{value.name}/dequantized"
    graph.append(node)
    value.replace_all_uses_with(node.outputs[0])
    del graph.initializers[value.name or ""]


def inspect(original: ir.Model, quantized: ir.Model, data: Mapping[str, NDArray]) -> tuple[Inspected, Samples]:
    """Prepare and match two models."""
    samples = open_samples(data, input_specs(original))
    first, second = (prepare(model, samples, threads=1) for model in (original, quantized))
    return Inspected(first, second, match_graphs(first, second)), samples


def context(original: ir.Model, quantized: ir.Model, data: Mapping[str, NDArray], *, budget: int = 10**9) -> Context:
    """What detectors look at."""
    inspected, samples = inspect(original, quantized, data)
    feed = next(iter(samples))
    sizes = measure_sizes(inspected, feed, threads=1)
    facts, _ = observe_tensors(inspected, samples, sizes, budget=budget, threads=1)
    suspects = Suspects(inspected, facts)
    return Context(inspected, suspects, layer_inputs(inspected, suspects.ranked(), feed, threads=1))


def layer(found: Context, name: str) -> ir.Node:
    """A layer by the name of its node or of its first result."""
    for node in found.inspected.layers:
        if name in (label(node), node.outputs[0].name):
            return node
    raise KeyError(name)
