"""Constant folding by onnxscript, kept from making the file larger.

onnxscript limits folding by element counts per node. Here a node whose inputs are constant is folded only if its
result is small, or no larger in bytes than the constants that go away with it or with its group.
"""

import onnx_ir as ir
from onnxscript.optimizer import fold_constants_ir

from edgebig.optimize.constant_cones import result_bytes, storable_nodes
from edgebig.passes.base import Pass, PassResult, Skipped
from edgebig.passes.library import LibraryPass

# Results up to this many bytes may be stored even though nothing goes away.
SMALL = 4096
# Left to onnxscript's own judgement: it keeps them, since they say how the model is quantized.
KEPT = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Constant")
RANDOM = (
    "Bernoulli",
    "Dropout",
    "RandomUniform",
    "RandomNormal",
    "RandomUniformLike",
    "RandomNormalLike",
    "Multinomial",
)
# onnxscript's own limits count elements; bytes decide here.
NO_LIMIT = 1 << 62


class FoldConstants(Pass):
    """Compute what does not depend on the inputs: constants, shapes, branches with a known condition."""

    def call(self, model: ir.Model) -> PassResult:
        """Fold; nodes that would grow the file are reported."""
        storable = {node for graph in model.graphs() for node in storable_nodes(graph, _is_foldable)}
        skipped: dict[Skipped, None] = {}

        def should_fold(node: ir.Node) -> bool | None:
            if node.op_type in KEPT:
                return None
            reason = None if node in storable else _refusal(node)
            if reason is not None:
                skipped[Skipped(node.name or "", reason)] = None
            return reason is None

        def fold(model: ir.Model) -> object:
            limits = {"input_size_limit": NO_LIMIT, "output_size_limit": NO_LIMIT}
            return fold_constants_ir(model, onnx_shape_inference=True, should_fold=should_fold, **limits)

        result = LibraryPass(self.name, [fold]).call(model)
        if result.modified:
            # A dropped If branch goes on counting among the users of the values it read; a copy knows the living only.
            model.graph = model.clone().graph
        return PassResult(model, result.modified, result.counts, tuple(skipped))


def _is_foldable(node: ir.Node) -> bool:
    graphs = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    holds_graph = any(attribute.type in graphs for attribute in node.attributes.values())
    return node.op_type not in (*KEPT, *RANDOM) and node.domain in ("", "ai.onnx") and not holds_graph


def _refusal(node: ir.Node) -> str | None:
    """Why the node's result is not stored; None where it may be."""
    if node.op_type in RANDOM:
        return "it is random"
    sizes = [result_bytes(output) for output in node.outputs]
    if any(size is None for size in sizes):
        return f"the size of what {node.op_type} gives is unknown before it is computed"
    result = sum(size for size in sizes if size is not None)
    freed = sum(
        value.const_value.nbytes
        for value in node.inputs
        if value is not None and value.const_value is not None and len(value.uses()) == 1
    )
    if result > max(SMALL, freed):
        return f"the file would grow: its result takes {result:,} bytes, {freed:,} would go away"
    return None
