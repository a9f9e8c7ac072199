"""What the operators of quantized graphs stand for: their float twins, and what is only a change of representation."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

QUANTIZE = "QuantizeLinear"
DEQUANTIZE = "DequantizeLinear"
DYNAMIC = "DynamicQuantizeLinear"


@dataclass(frozen=True)
class Twin:
    """The float operator that an integer operator stands for.

    Attributes:
        op_type: The float operator.
        operands: Which inputs of the integer operator are the float operator's, in its order.
        scales: Which input holds the scale of each of them (the zero point comes next); -1 where none does.
        result_scale: Which input holds the scale of the result; None where the result is float or int32.
        repeats: Whether operands go on in threes (QLinearConcat).
    """

    op_type: str
    operands: tuple[int, ...]
    scales: tuple[int, ...] = ()
    result_scale: int | None = None
    repeats: bool = False


# Standard operators and onnxruntime's own (com.microsoft), by their documentation.
TWINS: dict[str, Twin] = {
    "QLinearConv": Twin("Conv", (0, 3, 8), (1, 4, -1), 6),
    "QLinearMatMul": Twin("MatMul", (0, 3), (1, 4), 6),
    "QGemm": Twin("Gemm", (0, 3, 6), (1, 4, -1), 7),
    "QLinearAdd": Twin("Add", (0, 3), (1, 4), 6),
    "QLinearMul": Twin("Mul", (0, 3), (1, 4), 6),
    "QLinearSigmoid": Twin("Sigmoid", (0,), (1,), 3),
    "QLinearLeakyRelu": Twin("LeakyRelu", (0,), (1,), 3),
    "QLinearSoftmax": Twin("Softmax", (0,), (1,), 3),
    "QLinearAveragePool": Twin("AveragePool", (0,), (1,), 3),
    "QLinearGlobalAveragePool": Twin("GlobalAveragePool", (0,), (1,), 3),
    "QLinearReduceMean": Twin("ReduceMean", (0,), (1,), 3),
    "QLinearWhere": Twin("Where", (0, 1, 4), (-1, 2, 5), 7),
    "QLinearConcat": Twin("Concat", (2,), (3,), 0, repeats=True),
    "ConvInteger": Twin("Conv", (0, 1)),
    "MatMulInteger": Twin("MatMul", (0, 1)),
    "MatMulIntegerToFloat": Twin("MatMul", (0, 1), (2, 3)),
    "DynamicQuantizeMatMul": Twin("MatMul", (0, 1), (-1, 2)),
    "DynamicQuantizeLSTM": Twin("LSTM", (0, 1, 2, 3, 4, 5, 6, 7)),
    "MatMulNBits": Twin("MatMul", (0, 1)),
    "GatherBlockQuantized": Twin("Gather", (0, 1)),
    "QEmbedLayerNormalization": Twin("EmbedLayerNormalization", (0, 1, 2, 3, 4)),
    "QAttention": Twin("Attention", (0, 1, 2)),
}
# Integer operators whose result is int32: Cast and Mul by the scales make it float again.
ACCUMULATING = ("ConvInteger", "MatMulInteger")
QUANTIZED_OPS = frozenset({QUANTIZE, DEQUANTIZE, DYNAMIC, *TWINS})
# Operators that keep every number as it is, so that a stored integer keeps its scale.
MOVING_OPS = frozenset(
    {
        *("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Slice", "Gather", "Expand", "Split"),
        *("MaxPool", "DepthToSpace", "SpaceToDepth", "GatherND", "GatherElements", "Tile"),
    }
)
# What quantizers drop or fold: the result then stands for the output of the dropped node.
DROPPED_OPS = frozenset({"Relu", "Clip", "BatchNormalization", "Identity", "Dropout", "Cast"})
# What quantizers write as several nodes, whose result then has another name.
EXPANDED_OPS = frozenset(
    {
        *("HardSwish", "HardSigmoid", "Gelu", "Mish", "Swish", "LayerNormalization", "GroupNormalization", "Gemm"),
        *("InstanceNormalization", "RMSNormalization", "Softmax", "Attention", "ReduceMean"),
    }
)


def float_type(node: ir.Node) -> str:
    """The float operator a node is, or stands for."""
    twin = TWINS.get(node.op_type)
    return node.op_type if twin is None else twin.op_type


def operands(node: ir.Node) -> Sequence[ir.Value | None]:
    """The inputs of a node in the places of its float twin."""
    twin = TWINS.get(node.op_type)
    if twin is None:
        return node.inputs
    places = range(twin.operands[0], len(node.inputs), 3) if twin.repeats else twin.operands
    return [node.inputs[index] if index < len(node.inputs) else None for index in places]
