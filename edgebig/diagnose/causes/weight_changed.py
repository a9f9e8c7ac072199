"""A stored weight that is not the float model's: clipped, scaled wrongly, or of another model."""

import numpy as np
import onnx_ir as ir

from edgebig.diagnose.causes.context import Context
from edgebig.records.diagnose import Cause

KIND = "other weights"
LEAST_COSINE = 0.9


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """Compare the directions of both weights, and their sizes."""
    weight = context.weight(layer)
    if weight is None:
        return None
    a, b = weight.original.astype(np.float64).ravel(), weight.quantized.astype(np.float64).ravel()
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if not norms or not np.isfinite(norms):
        return None
    cosine, factor = float(a @ b) / norms, float(np.linalg.norm(b) / np.linalg.norm(a))
    if cosine >= LEAST_COSINE and 0.8 < factor < 1.25:
        return None
    return Cause(kind=KIND, text=f"the stored weight has a cosine of {cosine:.2f} to the float one, and {factor:.2g} "
                 f"times its size")  # fmt: skip
