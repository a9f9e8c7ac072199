"""A float model in float16."""

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from edgebig.errors import InvalidModelError
from edgebig.graph.edit import working_copy
from edgebig.graph.load import ModelLike, describe_source, resolve_model
from edgebig.graph.shapes import infer_shapes
from edgebig.quantize.change import Change
from edgebig.quantize.exclude import excluded_names, node_name
from edgebig.quantize.half.modes import candidates
from edgebig.quantize.half.write import write_half


def convert_to_half(model: ModelLike, *, exclude: tuple[str, ...] = ()) -> tuple[ir.Model, tuple[Change, ...]]:
    """Store weights and compute in float16, where that loses little; inputs and outputs stay float32.

    Halves the file. Made for GPUs, which compute in float16; onnxruntime's CPU provider casts most nodes back to
    float32, so that on a CPU it saves bytes, not time.

    Args:
        model: The float model, or its path; it stays as it is.
        exclude: Names or globs of nodes that stay in float32.

    Returns:
        The result, and what became of every node that changed.

    Raises:
        InvalidModelError: The model cannot be read, or nothing in it can be float16.
        UsageError: A name that no node has.
    """
    original = resolve_model(model)
    result = working_copy(original)
    if result.functions:
        InlinePass()(result)
    infer_shapes(result)
    left = excluded_names(result.graph, exclude)
    found = candidates(result.graph)
    changes = write_half(result, [node for node, reason in found.items() if not reason and node_name(node) not in left])
    if not changes:
        reasons = sorted({f"{node.op_type}: {reason}" for node, reason in found.items() if reason})[:4]
        why = "; ".join(reasons) or "It has no float32 values"
        raise InvalidModelError(f"nothing in {describe_source(original)} can be float16. {why}.")
    return result, changes
