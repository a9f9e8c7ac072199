"""Identity nodes go, wherever the names of outputs and the borders of subgraphs allow it.

onnx_ir has this pass too, but it fails on an If branch whose output is the Identity of a value from outside.
"""

from collections import Counter

import onnx_ir as ir

from edgebig.passes.base import Pass, PassResult
from edgebig.passes.rewire import remove_node


class EliminateIdentities(Pass):
    """Let the readers of an Identity read its input."""

    def call(self, model: ir.Model) -> PassResult:
        """Look at every graph; an Identity that names an output of a value from elsewhere stays."""
        counts: Counter[str] = Counter()
        for graph in model.graphs():
            for node in graph:
                if node.op_type == "Identity" and node.domain in ("", "ai.onnx") and _may_go(node):
                    remove_node(node, node.inputs[0])  # type: ignore[arg-type]
                    counts["Identity"] += 1
        return PassResult(model, bool(counts), counts)


def _may_go(node: ir.Node) -> bool:
    data, output = node.inputs[0], node.outputs[0]
    if data is None:
        return False
    if not output.is_graph_output():
        return True
    # The input takes the output's name: it must be computed in the same graph, and have no name to keep.
    producer = data.producer()
    return producer is not None and producer.graph is node.graph and not data.is_graph_output()
