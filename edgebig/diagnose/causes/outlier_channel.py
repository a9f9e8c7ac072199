"""One channel whose range is far beyond the others': a scale for all leaves a few steps for the rest."""

import numpy as np
import onnx_ir as ir

from edgebig.diagnose.causes.context import Context, number
from edgebig.records.diagnose import Cause

KIND = "outlier channel"
TIMES = 10.0
# Most channels are worse off than this in the integers of the tensor.
POOR_DB = 22.0


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """Compare the largest channel of the layer's tensors with the median one."""
    for pair, facts in context.around(layer):
        typical = facts.rounded.typical_db
        if facts.grid is None or facts.peaks is None or facts.peaks.size < 4 or typical is None or typical > POOR_DB:
            continue
        median, largest = float(np.median(facts.peaks)), float(facts.peaks.max())
        if median > 0 and largest >= TIMES * median:
            return Cause(
                kind=KIND,
                text=f"channel {int(facts.peaks.argmax())} of {pair.name} reaches {number(largest)}, the median "
                f"channel {number(median)} ({typical:.0f} dB there)",
            )
    return None
