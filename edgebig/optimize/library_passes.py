"""What onnx_ir and onnxscript do well, as passes: which of their rules are used, and which are not and why.

Left out of onnxscript's default rules:
- no-ops by constants (EliminateNoops): it takes 1e-10 for 0, and 1.00001 for 1;
- batch norm (FoldAffineAfter, FoldAffineBefore): it ignores training_mode, computes in the model's own precision, and
  writes a float32 bias beside float16 weights;
- Slice pairs into Split: it writes an attribute that operator sets below 18 do not have;
- auto_pad into pads: it ignores dilations;
- Flatten into Reshape, zero bias removed: nothing gained, and the nodes lose their names.
"""

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules import common as rules

from edgebig.graph.load import all_nodes
from edgebig.graph.opset import opset_version
from edgebig.passes.base import Pass, PassResult
from edgebig.passes.library import LibraryPass

SHAPE_RULES = (
    rules.cast_cast_rule,
    rules.no_op_cast_rule,
    rules.no_op_expand_rule,
    rules.reshape_reshape_rule,
    rules.no_op_transpose_rule,
    rules.transpose_transpose_rule,
    rules.unsqueeze_unsqueeze_rule,
    rules.squeeze_reshape_1d_rule,
    rules.collapse_slice_rule,
    rules.collapse_slice2_rule,
    rules.no_op_static_scatter_nd_rule,
    rules.no_op_dynamic_scatter_nd_rule,
    rules.two_reshapes_matmul_reshape_rule,
    rules.one_reshape_matmul_reshape_rule,
)
# It writes Reshape's attribute allowzero, which operator sets below 14 do not have.
SHAPE_RULES_14 = (rules.materialize_reshape_shape_rule,)
CLIP_RULES = (
    rules.successive_clip_relu_rule,
    rules.successive_relu_clip_rule,
    rules.successive_relu_rule,
    rules.successive_clip_rule,
    rules.min_min_rule,
    rules.max_max_rule,
    rules.min_max_rule,
    rules.max_min_rule,
)
PAD_RULES = (rules.fuse_pad_into_conv_rule, rules.fuse_pad_into_conv_integer_rule)


class SimplifyShapes(Pass):
    """Casts, reshapes, transposes, slices and expansions that undo or repeat each other."""

    def call(self, model: ir.Model) -> PassResult:
        """Apply the rules that the model's operator set allows."""
        chosen = (*SHAPE_RULES, *SHAPE_RULES_14) if (opset_version(model) or 0) >= 14 else SHAPE_RULES
        return LibraryPass(self.name, [RewritePass(chosen)]).call(model)


def inline_functions() -> Pass:
    """Put the bodies of the model's own functions where they are called."""
    return LibraryPass("InlineFunctions", [common.InlinePass()])


def fuse_clips() -> Pass:
    """Relu, Clip, Min and Max by constants in a row become one Clip."""
    return LibraryPass("FuseClips", [RewritePass(CLIP_RULES)])


def fold_pad_into_conv() -> Pass:
    """Zeros padded before a convolution become its own padding."""
    return LibraryPass("FoldPadIntoConv", [RewritePass(PAD_RULES)])


def lift_constants() -> Pass:
    """Constant nodes become initializers, where every tool looks for weights."""
    return LibraryPass("LiftConstants", [common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)])


def merge_equal_nodes() -> Pass:
    """Nodes that compute the same from the same inputs become one."""
    return LibraryPass("MergeEqualNodes", [common.CommonSubexpressionEliminationPass()])


def remove_unused() -> Pass:
    """Nodes, initializers, functions and operator sets that nothing uses go."""
    nodes, functions = common.RemoveUnusedNodesPass(), common.RemoveUnusedFunctionsPass()
    return LibraryPass("RemoveUnused", [nodes, _remove_unused_initializers, functions, common.RemoveUnusedOpsetsPass()])


def _remove_unused_initializers(model: ir.Model) -> None:
    """onnx_ir removes those of the top-level graph only."""
    for graph in model.graphs():
        for name, value in list(graph.initializers.items()):
            if not value.uses() and not value.is_graph_output() and not value.is_graph_input():
                del graph.initializers[name]


class ClearNotes(Pass):
    """What exporters write for their own debugging (stack traces, rule names) goes; the model's own metadata stays."""

    def call(self, model: ir.Model) -> PassResult:
        """Clear the notes of nodes and graphs."""
        noted = sum(bool(node.metadata_props or node.doc_string) for node in all_nodes(model))
        modified = common.ClearMetadataAndDocStringPass()(model).modified or noted > 0
        return PassResult(model, modified, {"notes of nodes": noted} if noted else {})


def fix_names() -> Pass:
    """Every value and node gets a name of its own; inputs and outputs keep theirs."""
    return LibraryPass("FixNames", [common.NameFixPass()])
