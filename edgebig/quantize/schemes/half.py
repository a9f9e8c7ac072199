"""float16 weights and arithmetic: half the size everywhere, and faster on GPUs."""

from functools import partial

from onnx_ir.passes.common import InlinePass

from edgebig.errors import InvalidModelError
from edgebig.graph.edit import working_copy
from edgebig.graph.load import describe_source
from edgebig.graph.shapes import infer_shapes
from edgebig.quantize.coverage import float_rows
from edgebig.quantize.draft import Draft, with_changes
from edgebig.quantize.half import candidates, write_half
from edgebig.quantize.job import Job

CPU = "onnxruntime's CPU provider casts most float16 nodes back to float32: there it saves bytes, not time"


def half(job: Job, left: frozenset[str] = frozenset()) -> Draft:
    """See `edgebig.quantize.schemes.Scheme`.

    Args:
        job: The request.
        left: Names of nodes that stay in float32, besides those the user wants there.
    """
    result = working_copy(job.prepared.model)
    if result.functions:
        InlinePass()(result)
        infer_shapes(result)
    found = candidates(result.graph)
    rows = float_rows(result.graph, job.prepared.facts, found)
    nodes = [node for node, reason in found.items() if not reason and (node.name or "") not in job.excluded | left]
    changes = write_half(result, nodes)
    if not changes:
        reasons = sorted({f"{node.op_type}: {reason}" for node, reason in found.items() if reason})[:4]
        why = "; ".join(reasons) or "It has no float32 values"
        raise InvalidModelError(f"nothing in {describe_source(job.original)} can be float16. {why}.")
    on_cpu = job.prepared.facts.target.providers[:1] == ("CPUExecutionProvider",)
    return Draft(
        model=result,
        nodes=with_changes(rows, changes),
        scheme="fp16",
        weight_bits="16 (float)",
        rewrite=partial(half, job),
        notes=(CPU,) if on_cpu else (),
    )
