"""Which function lowers which operator."""

from collections.abc import Callable

import onnx_ir as ir

from edgebig.runtime.lower.attention import lower_product, lower_softmax
from edgebig.runtime.lower.binary import KINDS, lower_binary
from edgebig.runtime.lower.builder import Builder
from edgebig.runtime.lower.constant_sum import lower_add
from edgebig.runtime.lower.convolution import lower_conv
from edgebig.runtime.lower.dynamic import (
    lower_cast,
    lower_conv_integer,
    lower_dynamic_matmul,
    lower_dynamic_quantize,
    lower_matmul_integer,
    lower_matmul_integer_to_float,
    lower_multiply,
)
from edgebig.runtime.lower.layout import lower_identity, lower_reshape, lower_transpose
from edgebig.runtime.lower.matrix import lower_gemm
from edgebig.runtime.lower.nbits import lower_matmul_nbits
from edgebig.runtime.lower.normalise import lower_layer_normalization
from edgebig.runtime.lower.pool import lower_average, lower_max_pool
from edgebig.runtime.lower.qoperators import (
    lower_qgemm,
    lower_qlinear_average,
    lower_qlinear_binary,
    lower_qlinear_conv,
    lower_qlinear_matmul,
    lower_qlinear_unary,
)
from edgebig.runtime.lower.quantization import lower_dequantize, lower_quantize
from edgebig.runtime.lower.resize import lower_resize
from edgebig.runtime.lower.slices import lower_concat, lower_slice, lower_split
from edgebig.runtime.lower.unary import UNARY, lower_unary

Handler = Callable[[Builder, ir.Node], None]

HANDLERS: dict[str, Handler] = {
    "AveragePool": lower_average,
    "Cast": lower_cast,
    "Concat": lower_concat,
    "Conv": lower_conv,
    "ConvInteger": lower_conv_integer,
    "DequantizeLinear": lower_dequantize,
    "Dropout": lower_identity,
    "DynamicQuantizeLinear": lower_dynamic_quantize,
    "Flatten": lower_reshape,
    "Gemm": lower_gemm,
    "GlobalAveragePool": lower_average,
    "Identity": lower_identity,
    "LayerNormalization": lower_layer_normalization,
    "LogSoftmax": lower_softmax,
    "MatMul": lower_product,
    "MatMulInteger": lower_matmul_integer,
    "MaxPool": lower_max_pool,
    "QLinearConv": lower_qlinear_conv,
    "QLinearMatMul": lower_qlinear_matmul,
    "QuantizeLinear": lower_quantize,
    "ReduceMean": lower_average,
    "Reshape": lower_reshape,
    "Resize": lower_resize,
    "Slice": lower_slice,
    "Softmax": lower_softmax,
    "Split": lower_split,
    "Squeeze": lower_reshape,
    "Transpose": lower_transpose,
    "Unsqueeze": lower_reshape,
    **dict.fromkeys(KINDS, lower_binary),
    "Add": lower_add,
    "Mul": lower_multiply,
    **dict.fromkeys(UNARY, lower_unary),
}

# Operators of the domain com.microsoft; its QuantizeLinear and DequantizeLinear are those of the standard.
MICROSOFT: dict[str, Handler] = {
    "DequantizeLinear": lower_dequantize,
    "DynamicQuantizeMatMul": lower_dynamic_matmul,
    "Gelu": lower_unary,
    "MatMulIntegerToFloat": lower_matmul_integer_to_float,
    "MatMulNBits": lower_matmul_nbits,
    "QGemm": lower_qgemm,
    "QLinearAdd": lower_qlinear_binary,
    "QLinearAveragePool": lower_qlinear_average,
    "QLinearGlobalAveragePool": lower_qlinear_average,
    "QLinearLeakyRelu": lower_qlinear_unary,
    "QLinearMul": lower_qlinear_binary,
    "QLinearSigmoid": lower_qlinear_unary,
    "QuantizeLinear": lower_quantize,
    "QuickGelu": lower_unary,
}

# Operators that take 8-bit tensors by their definition.
QUANTIZED = frozenset({"ConvInteger", "DequantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"})

# Operators that give sums of 32 bits, which no tensor between steps holds.
INTEGER_PRODUCTS = frozenset({"ConvInteger", "MatMulInteger"})

# Operators of float tensors that kernels run on 8-bit ones as well: they move numbers, or pick the largest.
RAW = frozenset(
    {
        "Concat",
        "Dropout",
        "Flatten",
        "Identity",
        "MaxPool",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)

# Operators without which a segment is not worth a node: what is left is moving and converting numbers.
WORK = frozenset(
    {
        "AveragePool",
        "Conv",
        "ConvInteger",
        "DynamicQuantizeMatMul",
        "Gemm",
        "GlobalAveragePool",
        "MatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "MaxPool",
        "QGemm",
        "QLinearConv",
        "QLinearMatMul",
    }
)


def handler_of(node: ir.Node) -> Handler | None:
    """The function that lowers a node, if there is one."""
    if node.domain in ("", "ai.onnx"):
        return HANDLERS.get(node.op_type)
    return MICROSOFT.get(node.op_type) if node.domain == "com.microsoft" else None
