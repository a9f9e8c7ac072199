"""Which function lowers which operator."""

from collections.abc import Callable

import onnx_ir as ir

from edgebig.runtime.lower.binary import KINDS, lower_binary
from edgebig.runtime.lower.builder import Builder
from edgebig.runtime.lower.convolution import lower_conv
from edgebig.runtime.lower.layout import lower_identity, lower_reshape, lower_transpose
from edgebig.runtime.lower.matrix import lower_gemm, lower_matmul
from edgebig.runtime.lower.pool import lower_average_pool, lower_global_average_pool, lower_max_pool
from edgebig.runtime.lower.quantization import lower_dequantize, lower_quantize
from edgebig.runtime.lower.unary import UNARY, lower_unary

Handler = Callable[[Builder, ir.Node], None]

HANDLERS: dict[str, Handler] = {
    "AveragePool": lower_average_pool,
    "Conv": lower_conv,
    "DequantizeLinear": lower_dequantize,
    "Dropout": lower_identity,
    "Flatten": lower_reshape,
    "Gemm": lower_gemm,
    "GlobalAveragePool": lower_global_average_pool,
    "Identity": lower_identity,
    "MatMul": lower_matmul,
    "MaxPool": lower_max_pool,
    "QuantizeLinear": lower_quantize,
    "ReduceMean": lower_global_average_pool,
    "Reshape": lower_reshape,
    "Squeeze": lower_reshape,
    "Transpose": lower_transpose,
    "Unsqueeze": lower_reshape,
    **dict.fromkeys(KINDS, lower_binary),
    **dict.fromkeys(UNARY, lower_unary),
}

# Operators without which a segment is not worth a node: what is left is moving and converting numbers.
WORK = frozenset({"AveragePool", "Conv", "Gemm", "GlobalAveragePool", "MatMul", "MaxPool"})


def handler_of(node: ir.Node) -> Handler | None:
    """The function that lowers a node, if there is one."""
    if node.domain not in ("", "ai.onnx") and node.op_type not in (
        "QuickGelu",
        "Gelu",
        "QuantizeLinear",
        "DequantizeLinear",
    ):
        return None
    return HANDLERS.get(node.op_type)
