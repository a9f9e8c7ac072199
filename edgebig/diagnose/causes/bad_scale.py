"""A scale that is zero, negative or not a number: everything it touches is lost."""

import numpy as np
import onnx_ir as ir

from edgebig.diagnose.causes.context import Context
from edgebig.records.diagnose import Cause

KIND = "bad scale"


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """Name the first scale of the layer that cannot be one."""
    for name, scale in context.scales(layer):
        bad = ~(np.isfinite(scale) & (scale > 0))
        if bad.any():
            value = scale.reshape(-1)[bad.reshape(-1)][0]
            return Cause(kind=KIND, text=f"scale {name} is {value:g} in {int(bad.sum())} of {scale.size} entries")
    return None
