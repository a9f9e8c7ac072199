"""Dynamic int8: weights in integers, activations quantized on every run; no samples are needed."""

from collections.abc import Callable, Collection, Mapping

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgebig.graph.opset import MINIMUM_OPSET, opset_version
from edgebig.quantize.change import Change
from edgebig.quantize.dynamic.lstm import write_lstm
from edgebig.quantize.dynamic.product import write_product
from edgebig.quantize.dynamic.recurrent import write_recurrent
from edgebig.quantize.dynamic.writer import DynamicWriter
from edgebig.quantize.formats.qdq import WeightRule

WRITERS: Mapping[str, Callable[[ir.Node, DynamicWriter], Change]] = {
    "MatMul": write_product,
    "Gemm": write_product,
    "LSTM": write_lstm,
    "GRU": write_recurrent,
    "RNN": write_recurrent,
}


def write_dynamic(model: ir.Model, nodes: Collection[ir.Node], *, rule: WeightRule) -> tuple[Change, ...]:
    """Quantize nodes of a model dynamically, in place.

    Values keep their names, so that other schemes can be written before and after.

    Args:
        model: A working copy.
        nodes: Nodes of it, nested graphs included, that `candidates` has no reason against.
        rule: How weights are quantized (see `edgebig.quantize.weight_bits.weight_rule`).

    Returns:
        What became of each node, in the model's order. A weight that several nodes share is counted once.
    """
    wanted = set(nodes)
    order = [node for node in ir.traversal.RecursiveGraphIterator(model.graph) if node in wanted]
    writer = DynamicWriter(model, rule, opset_version(model) or MINIMUM_OPSET)
    changes = tuple(WRITERS[node.op_type](node, writer) for node in order)
    RemoveUnusedNodesPass()(model)
    return changes
