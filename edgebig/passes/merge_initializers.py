"""Initializers of one graph with the same dtype, shape and content become one.

onnx_ir has this pass too; it fails on strings and on arrays that do not lie in one piece (what folding a Transpose
leaves behind). Only tensors of which there are several of one size are read.
"""

import hashlib
from collections import defaultdict

import numpy as np
import onnx_ir as ir

from edgebig.passes.base import Pass, PassResult


class MergeInitializers(Pass):
    """Let readers of equal initializers share one. Inputs and outputs of the model keep theirs."""

    def call(self, model: ir.Model) -> PassResult:
        """Merge within every graph."""
        merged = sum(_merge(graph) for graph in model.graphs())
        return PassResult(model, merged > 0, {"initializers": merged} if merged else {})


def _merge(graph: ir.Graph) -> int:
    alike: defaultdict[tuple[object, ...], list[ir.Value]] = defaultdict(list)
    for value in graph.initializers.values():
        tensor = value.const_value
        if tensor is not None and not value.is_graph_input() and not value.is_graph_output():
            alike[tensor.dtype, *tensor.shape.numpy()].append(value)
    merged = 0
    for values in alike.values():
        kept: dict[str, ir.Value] = {}
        for value in values if len(values) > 1 else ():
            first = kept.setdefault(_digest(value), value)
            if first is not value:
                value.replace_all_uses_with(first)
                del graph.initializers[value.name or ""]
                merged += 1
    return merged


def _digest(value: ir.Value) -> str:
    """SHA-256 of the content (an accident would need 2^128 tensors)."""
    tensor = value.const_value
    if tensor is None:
        raise ValueError(f"{value.name!r} has no content")
    if tensor.dtype == ir.DataType.STRING:
        return repr(tensor.numpy().tolist())
    return hashlib.sha256(np.ascontiguousarray(tensor.numpy()).view(np.uint8).data).hexdigest()
