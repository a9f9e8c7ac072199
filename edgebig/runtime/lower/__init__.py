"""From ONNX nodes to steps of kernels. One file per family of operators; `handlers` lists them all."""

from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.segment import Refused, lower_segment, refusal_of

__all__ = ["Refusal", "Refused", "lower_segment", "refusal_of"]
