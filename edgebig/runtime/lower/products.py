"""Products of two computed tensors that are not part of a whole attention block."""

import onnx_ir as ir

from edgebig.runtime.lower.builder import Builder
from edgebig.runtime.lower.refusal import Refusal
from edgebig.runtime.lower.tensors import Tensor


def emit_product(b: Builder, value: ir.Value, left: Tensor, right: Tensor) -> None:
    """Emit a MatMul of two tensors."""
    raise Refusal("it multiplies two computed tensors outside an attention block")
