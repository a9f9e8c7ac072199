"""Shapes and dtypes for the passes that need them. They are taken off again before the model is handed out."""

import onnx_ir as ir

from edgebig.graph.shapes import infer_shapes
from edgebig.passes.base import Pass, PassResult, Skipped


class InferMissingShapes(Pass):
    """Run shape inference; a note to the other passes, no change of the model."""

    def call(self, model: ir.Model) -> PassResult:
        """Infer, or report why it failed."""
        reason = infer_shapes(model)
        skipped = () if reason is None else (Skipped(model.graph.name or "model", f"no shapes are known: {reason}"),)
        return PassResult(model, False, skipped=skipped)
