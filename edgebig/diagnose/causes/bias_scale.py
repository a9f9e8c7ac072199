"""An int32 bias whose scale is not input scale times weight scale, or whose numbers were clipped."""

import numpy as np
import onnx_ir as ir

from edgebig.diagnose.causes.context import Context
from edgebig.diagnose.operators import DEQUANTIZE, TWINS, float_type
from edgebig.graph.edit import constant_array
from edgebig.records.diagnose import Cause

KIND = "bias scale"
TOLERANCE = 0.01


def detect(context: Context, layer: ir.Node) -> Cause | None:
    """Compare the scale of the stored bias with those of the input and of the weight."""
    for node in context.quantized_nodes(layer):
        if float_type(node) not in ("Conv", "ConvTranspose", "Gemm"):
            continue
        if node.op_type in TWINS:
            return _clipped(constant_array(node.inputs[8])) if len(node.inputs) > 8 else None
        sources = [value.producer() if value is not None else None for value in node.inputs[:3]]
        if len(sources) < 3 or any(source is None or source.op_type != DEQUANTIZE for source in sources):
            continue
        scales = [constant_array(source.inputs[1]) for source in sources if source is not None]
        bias = constant_array(sources[2].inputs[0]) if sources[2] is not None else None
        first, second, own = (None if scale is None else np.ravel(scale).astype(np.float64) for scale in scales)
        if bias is None or first is None or second is None or own is None:
            continue
        expected, found = first * second, own
        if found.size in (1, expected.size) or expected.size == 1:
            off = np.abs(found - expected) > TOLERANCE * np.abs(expected)
            if off.any():
                ratio = float(np.max(np.abs(found / expected)))
                return Cause(
                    kind=KIND,
                    text=f"the bias has {ratio:.3g} times the scale that input and weight give: kernels add it to "
                    f"their sums as it is",
                )
        return _clipped(bias)
    return None


def _clipped(bias: np.ndarray | None) -> Cause | None:
    if bias is None or bias.dtype != np.int32:
        return None
    at_end = (bias == np.iinfo(np.int32).max) | (bias == np.iinfo(np.int32).min)
    if not at_end.any():
        return None
    text = f"{int(at_end.sum())} of {bias.size} biases are clipped to int32: the weight's scale is too small for them"
    return Cause(kind=KIND, text=text)
