"""Write fitted weights and biases into a model, found by the names that it shares with the original."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.graph.edit import add_initializer, constant_array, set_array
from edgebig.prune.layers import Layer
from edgebig.prune.moments import Array
from edgebig.prune.sites import BiasSlot


def write_layer(model: ir.Model, layer: Layer, matrix: Array, biases: Mapping[str, Array]) -> None:
    """Replace a layer's weight, and the biases of its sites.

    Args:
        model: A working copy of the model that `layer` was found in.
        layer: The layer.
        matrix: Its weights, [outputs, inputs]; zeros stay zeros.
        biases: Bias [outputs] by the site's own output; sites that are missing keep theirs.
    """
    value = model.graph.initializers[layer.weighted.weight.name or ""]
    set_array(value, layer.weighted.from_matrix(cast(matrix, layer.weighted.array().dtype)))
    producers = {output.name: node for node in model.graph for output in node.outputs}
    for site in layer.sites:
        if site.bias is not None and site.own in biases:
            _write_bias(model.graph, producers[site.bias.node], site.bias, biases[site.own], matrix.shape[0])


def cast(array: Array, dtype: np.dtype) -> NDArray:
    """Convert to the weight's dtype; float16 saturates instead of becoming infinite."""
    limits = np.finfo(dtype)
    return np.clip(array, limits.min, limits.max).astype(dtype)


def _write_bias(graph: ir.Graph, node: ir.Node, slot: BiasSlot, bias: Array, outputs: int) -> None:
    old = node.inputs[slot.index] if slot.index < len(node.inputs) else None
    before = constant_array(old)
    weight = constant_array(node.inputs[1]) if before is None else before
    dtype = np.dtype(np.float32) if weight is None else weight.dtype
    # A bias of another shape (one number for all, or [1, n]) stays of a shape that broadcasts in the same way.
    shape = before.shape if before is not None and before.size == outputs else (outputs,)
    name = (old.name if old is not None else None) or f"{node.outputs[0].name}_bias"
    new = add_initializer(graph, name, cast(bias / slot.scale, dtype).reshape(shape))
    if slot.index >= len(node.inputs):
        node.resize_inputs(slot.index + 1)
    node.replace_input_with(slot.index, new)
    if old is not None and old.name and not old.uses() and old.name in graph.initializers and not old.is_graph_input():
        del graph.initializers[old.name]
