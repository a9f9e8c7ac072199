"""Per-channel scales along another axis than the output channels."""

import onnx_ir as ir

from edgebig.diagnose.causes.context import Context
from edgebig.records.diagnose import Cause

KIND = "weight axis"


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """Compare the axis and the number of the scales with the weight's output channels."""
    weight = context.weight(layer)
    if weight is None or weight.scale.ndim != 1 or weight.scale.size == 1:
        return None
    axis, channels = weight.scale_axis % weight.original.ndim, weight.original.shape[weight.output_axis]
    if axis == weight.output_axis:
        return None
    return Cause(
        kind=KIND,
        text=f"{weight.scale.size} scales along axis {axis} of the weight {list(weight.original.shape)}; its "
        f"{channels} output channels are axis {weight.output_axis}",
    )
