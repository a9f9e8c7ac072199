"""TensorRT 10 (JetPack) and 11: QDQ with symmetric int8, biases in float, precision stated in the graph.

Its builder moves QuantizeLinear up and DequantizeLinear down and fuses them with the weighted operators between them.
A result needs no pair of its own; chains of elementwise operators are one float kernel. Version 11 is strongly typed:
calibrators and the builder's precision flags are gone, so float16 must be in the graph as well (Cast, or weights).
"""

from edgebig.targets.base import Bias, Elementwise, Form, Target
from edgebig.targets.costs import ACCELERATOR_COSTS
from edgebig.targets.release import Release

# Quantizable, or the quantization commutes with them (its documentation's words).
INT8_OPS = frozenset(
    {
        *("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "AveragePool", "GlobalAveragePool", "MaxPool"),
        *("Concat", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather", "Resize"),
        *("Expand", "Tile", "Relu"),
    }
)
POINTWISE = "TensorRT fuses elementwise operators to one float kernel; a pair between them breaks it up"
FLOAT_OPS = {
    **dict.fromkeys(("Mul", "Sub", "Div", "Sigmoid", "HardSigmoid", "HardSwish", "LeakyRelu", "Clip"), POINTWISE),
    **dict.fromkeys(("Erf", "Gelu", "Tanh", "Exp", "Pow", "Sqrt"), POINTWISE),
    "BatchNormalization": "it is fused into the convolution before it",
    "GRU": "TensorRT has no int8 kernel for recurrent layers",
    "InstanceNormalization": "normalisation loses much in 8 bits",
    "LayerNormalization": "normalisation loses much in 8 bits",
    "LSTM": "TensorRT has no int8 kernel for recurrent layers",
    "Pad": "TensorRT has no int8 kernel for it",
    "ReduceMean": "normalisation loses much in 8 bits",
    "RNN": "TensorRT has no int8 kernel for recurrent layers",
    "Softmax": "its outputs span more than 8 bits can tell apart",
}
# What its ONNX parser has no importer for.
REFUSED_OPS = frozenset(
    {
        *("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "DynamicQuantizeLinear", "Multinomial"),
        *("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert"),
        *("SequenceLength", "SequenceMap", "SplitToSequence", "Optional", "OptionalGetElement", "OptionalHasElement"),
        *("StringNormalizer", "StringConcat", "StringSplit", "RegexFullMatch", "TfIdfVectorizer", "Unique", "Compress"),
        *("BitShift", "Det", "MaxRoiPool", "MaxUnpool", "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"),
        *("RandomNormal", "RandomNormalLike", "Col2Im", "CenterCropPad"),
    }
)
DOCS = "docs.nvidia.com/deeplearning/tensorrt, Working with Quantized Types"
PARSER = "github.com/onnx/onnx-tensorrt, docs/operators.md"
SOURCES = {
    "int8_ops": f"{DOCS}: quantizable layers, and layers that commute with Q/DQ",
    "symmetric_activations": f"{DOCS}: the scheme is symmetric; {PARSER}: zero points must be 0",
    "activation_dtypes": f"{DOCS}: INT8, INT4, FP8 and FP4; unsigned integers are none of them",
    "bias": "onnx/onnx-tensorrt issue 850, NVIDIA/TensorRT issue 3360, microsoft/onnxruntime issue 14229: "
    "'only activation types allowed as input to this layer'",
    "quantize_results": f"{DOCS}: recommendations for placing Q/DQ: do not quantize the outputs of weighted operations",
    "elementwise": f"{DOCS}: recommendations for placing Q/DQ: quantize the residual input in skip connections",
    "pairs_per_consumer": "NVIDIA/TensorRT, tools/pytorch-quantization: each input of a layer has its own quantizer",
    "per_channel_ops": f"{DOCS}: per-channel scales for weights of convolutions, deconvolutions and matrix products",
    "refused_ops": PARSER,
    "forms": f"{PARSER}; microsoft/onnxruntime issue 21169",
    "static_shapes": "docs.nvidia.com/deeplearning/tensorrt, Working with Dynamic Shapes: each needs a profile",
}
CHANNEL = "removed channels shrink every tensor, so each operator does less work"
TWO_OF_FOUR = "sparse Tensor Cores of Ampere GPUs and newer skip the zeros"


def tensorrt_10() -> Target:
    """The rules of TensorRT 10, the newest on Jetson."""
    return _target(
        "tensorrt-10",
        releases=(Release("10.0", 20),),
        releases_current=False,
        strongly_typed=False,
        sources={"releases": "TensorRT 10.0 release notes: opset 20; later ones read more"},
    )


def tensorrt_11() -> Target:
    """The rules of TensorRT 11, strongly typed."""
    return _target(
        "tensorrt-11",
        releases=(Release("11.5", 25),),
        releases_current=True,
        strongly_typed=True,
        sources={
            "releases": "github.com/NVIDIA/TensorRT/releases/tag/v11.5; its ONNX Opset Guide: opset 9 to 25",
            "strongly_typed": "docs.nvidia.com/deeplearning/tensorrt, Migrating from TensorRT 10.x to 11.x",
        },
    )


def _target(
    name: str,
    *,
    releases: tuple[Release, ...],
    releases_current: bool,
    strongly_typed: bool,
    sources: dict[str, str],
) -> Target:
    return Target(
        name=name,
        description=f"TensorRT {name.rpartition('-')[2]}, alone or as onnxruntime's provider",
        providers=("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
        activation_dtype="int8",
        activation_dtypes=("int8",),
        symmetric_activations=True,
        weight_dtype="int8",
        weight_bits=8,
        symmetric_weights=True,
        per_channel_weights=True,
        int8_ops=INT8_OPS,
        int8_costs=ACCELERATOR_COSTS,
        float_ops=FLOAT_OPS,
        pattern_gains={"channel": CHANNEL, "2:4": TWO_OF_FOUR},
        bias=Bias.FLOAT,
        pairs_per_consumer=True,
        quantize_results=False,
        elementwise=Elementwise.RESIDUAL,
        forms=frozenset({Form.QDQ, Form.BLOCKED_DQ}),
        releases=releases,
        releases_current=releases_current,
        strongly_typed=strongly_typed,
        runtime="TensorRT",
        falls_back=False,
        refused_ops=REFUSED_OPS,
        sources={**SOURCES, **sources},
    )
