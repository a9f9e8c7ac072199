"""Batch norms and other scales and shifts by constants go into the layers beside them, before anything is quantized.

A batch norm between two integer layers would be an island of float: two conversions, and the rounding of a tensor that
need not exist. One that stands behind an activation goes forward into the next layer where that layer does not pad;
where it pads, or where several nodes read the batch norm, it stays in float, and the reason is reported.
"""

import onnx_ir as ir

from edgebig.graph.shapes import infer_shapes
from edgebig.passes.fold_affine_after import FoldAffineAfter
from edgebig.passes.fold_affine_before import FoldAffineBefore
from edgebig.records.quantize import AlgorithmReport

NAME = "batch-norm-folding"


def fold_batch_norms(model: ir.Model) -> AlgorithmReport:
    """Fold, in place; in float the model computes the same.

    Args:
        model: The float model.
    """
    counts: dict[str, int] = {}
    while True:
        results = [step.call(model) for step in (FoldAffineAfter(), FoldAffineBefore())]
        for result in results:
            for what, count in result.counts.items():
                counts[what] = counts.get(what, 0) + count
        if not any(result.modified for result in results):
            break
        infer_shapes(model)
    # Both directions failed for those that stand.
    reasons: dict[str, list[str]] = {}
    for skipped in (skipped for result in results for skipped in result.skipped):
        reasons.setdefault(skipped.node, []).append(skipped.reason)
    return AlgorithmReport(
        NAME,
        kept=bool(counts),
        where=tuple(f"{count} {what}" for what, count in counts.items()),
        skipped=tuple(f"{name}: {'; '.join(found)}" for name, found in reasons.items()),
        reason="" if counts else "there is none to fold",
    )
