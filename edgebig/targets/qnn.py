"""Qualcomm's HTP through onnxruntime's QNN provider: whole graphs of QDQ node units, u8 or u16 activations.

Every operator needs its own DequantizeLinear in front and QuantizeLinear behind; a float edge sends the node to the
CPU. Biases are int32 with the scale (input scale) * (weight scale).
"""

from edgebig.targets.base import Form, Target
from edgebig.targets.costs import ACCELERATOR_COSTS
from edgebig.targets.release import ONNXRUNTIME

SUPPORTED_OPS = frozenset(
    {
        *("Abs", "Add", "And", "ArgMax", "ArgMin", "Asin", "Atan", "AveragePool", "BatchNormalization", "Cast", "Ceil"),
        *("Clip", "Concat", "Conv", "ConvTranspose", "Cos", "CumSum", "DepthToSpace", "DequantizeLinear", "Div"),
        *("Einsum", "Elu", "Equal", "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND"),
        *("Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater", "GreaterOrEqual", "GridSample"),
        *("HardSigmoid", "HardSwish", "InstanceNormalization", "Inverse", "LRN", "LSTM", "LayerNormalization"),
        *("LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "LpNormalization", "MatMul", "Max", "MaxPool"),
        *("Mean", "Min", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pad", "Pow", "QuantizeLinear"),
        *("RMSNormalization", "RandomUniformLike", "Reciprocal", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin"),
        *("ReduceProd", "ReduceSum", "Relu", "Reshape", "Resize", "Round", "STFT", "ScatterElements", "ScatterND"),
        *("Sigmoid", "Sign", "Sin", "Slice", "Softmax", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum"),
        *("Tanh", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Unsqueeze", "Upsample", "Where"),
        # Not run there, but folded or removed before a provider is asked.
        *("Constant", "ConstantOfShape", "Identity", "Shape", "Dropout"),
    }
)
# Those of them that compute on one kind of real numbers, so that a QDQ node unit can hold them.
INT8_OPS = SUPPORTED_OPS - {
    *("And", "Or", "Not", "Cast", "Constant", "ConstantOfShape", "Shape", "Identity", "Dropout", "QuantizeLinear"),
    *("DequantizeLinear", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "TopK", "ArgMax", "ArgMin"),
    *("RandomUniformLike", "CumSum", "LSTM", "Inverse", "STFT", "Mod"),
}
BUILDERS = "onnxruntime, core/providers/qnn/builder/op_builder_factory.cc"
DOCS = "onnxruntime.ai/docs/execution-providers/QNN-ExecutionProvider.html"


def qnn() -> Target:
    """The rules of the HTP backend."""
    return Target(
        name="qnn",
        description="Qualcomm HTP, onnxruntime's QNN provider",
        providers=("QNNExecutionProvider", "CPUExecutionProvider"),
        activation_dtype="uint8",
        activation_dtypes=("uint8", "uint16", "int8", "int16"),
        wide_activation_dtype="uint16",
        weight_dtype="int8",
        weight_bits=8,
        symmetric_weights=False,
        per_channel_weights=True,
        per_channel_ops=frozenset({"Conv", "ConvTranspose", "Gemm"}),
        gemm_transposed=True,
        int8_ops=INT8_OPS,
        int8_costs=ACCELERATOR_COSTS,
        float_ops={},
        pattern_gains={"channel": "removed channels shrink every tensor, so each operator does less work"},
        forms=frozenset({Form.QDQ}),
        releases=ONNXRUNTIME,
        static_shapes=True,
        supported_ops=SUPPORTED_OPS,
        integer_only=True,
        sources={
            "supported_ops": BUILDERS,
            "int8_ops": BUILDERS,
            "activation_dtypes": DOCS,
            "wide_activation_dtype": DOCS,
            "bias": f"{DOCS}; onnxruntime's get_qnn_qdq_config writes it so",
            "per_channel_ops": "onnxruntime.quantization, qnn/quant_config.py: no MatMul per channel",
            "gemm_transposed": "onnxruntime/onnxruntime-qnn issue 815",
            "static_shapes": f"{DOCS}: the HTP backend takes fixed shapes",
            "integer_only": f"{DOCS}: the HTP backend runs quantized models",
            "forms": DOCS,
            "releases": "onnxruntime.ai/docs/reference/compatibility",
        },
    )
