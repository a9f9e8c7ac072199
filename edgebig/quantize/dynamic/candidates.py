"""Which nodes, those of nested graphs included, can be quantized dynamically, and why the others cannot."""

from collections.abc import Callable, Mapping

import onnx_ir as ir

from edgebig.graph.weights import as_weighted
from edgebig.quantize.dynamic.lstm import check_lstm
from edgebig.quantize.dynamic.product import check_product
from edgebig.quantize.dynamic.recurrent import check_recurrent
from edgebig.quantize.unit import Facts
from edgebig.targets.base import Form

CHECKS: Mapping[str, Callable[[ir.Node, int], str]] = {
    "MatMul": check_product,
    "Gemm": check_product,
    "LSTM": check_lstm,
    "GRU": check_recurrent,
    "RNN": check_recurrent,
}
CONVOLUTION = "onnxruntime's dynamic int8 convolutions run at a tenth of float's speed"


def candidates(graph: ir.Graph, facts: Facts) -> dict[ir.Node, str]:
    """Look through a graph and the graphs in its If, Loop and Scan nodes.

    Args:
        graph: The graph of a model that was made ready (`edgebig.quantize.prepare.prepare`).
        facts: What is known of it.

    Returns:
        Node -> "" if it can be quantized dynamically, else why not, for all nodes that have or could have weights.
    """
    found: dict[ir.Node, str] = {}
    for node in ir.traversal.RecursiveGraphIterator(graph):
        if node.domain not in ("", "ai.onnx"):
            continue
        if node.op_type in CHECKS:
            found[node] = _missing_form(facts) or CHECKS[node.op_type](node, facts.opset)
        elif as_weighted(node) is not None:
            found[node] = CONVOLUTION
    return found


def _missing_form(facts: Facts) -> str:
    if Form.DYNAMIC in facts.target.forms:
        return ""
    return f"{facts.target.name} has no dynamic quantization"
