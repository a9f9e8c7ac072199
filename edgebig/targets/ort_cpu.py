"""onnxruntime's CPU provider: QDQ is fused only where it surrounds a node on all sides.

x86: U8 activations, S8 per-channel weights. Without VNNI the U8S8 kernels add pairs of products in 16 bits and
saturate, so weights get 7 bits there (onnxruntime calls this reduce_range). arm64: S8 activations and weights.

The operators are those of onnxruntime's QDQ selectors for this provider. HardSigmoid, HardSwish, ReduceMean, Relu and
Clip are not among them; they are here because they can be written with operators that are (Add, Mul,
GlobalAveragePool, and the saturation of QuantizeLinear).

Costs were measured on one core of an AMD EPYC (AVX2, 2.4 GHz) with onnxruntime 1.31, tensors of 150,000 elements.
"""

from edgebig.targets.base import Int8Costs, OpCost, Target
from edgebig.targets.cpu_features import has_vnni, is_arm64, is_x86
from edgebig.targets.release import ONNXRUNTIME

# Same integers out as in: they move or pick elements.
MOVING_OPS = frozenset(
    {
        *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Expand", "Tile", "Split", "Gather"),
        *("MaxPool", "Resize"),
    }
)
INT8_OPS = MOVING_OPS | {
    *("Conv", "Gemm", "MatMul", "Add", "Mul", "Concat", "AveragePool", "GlobalAveragePool", "ReduceMean"),
    *("Sigmoid", "LeakyRelu", "HardSigmoid", "HardSwish", "Relu", "Clip"),
}
# What the selectors name.
FUSED_OPS = MOVING_OPS | {
    *("Conv", "Gemm", "MatMul", "Add", "Mul", "Concat", "Where", "AveragePool", "GlobalAveragePool", "Sigmoid"),
    *("LeakyRelu", "Softmax", "ReduceMax", "ReduceMin", "ArgMax", "GatherElements"),
}
# Written with Add, Mul, GlobalAveragePool, and the saturation of QuantizeLinear.
REPLACED_OPS = frozenset({"ReduceMean", "HardSigmoid", "HardSwish", "Relu", "Clip"})

FLOAT_OPS = {
    "BatchNormalization": "onnxruntime has no integer kernel for it; edgebig optimize folds it into a convolution",
    "ConvTranspose": "onnxruntime has no integer kernel for it",
    "Div": "onnxruntime has no integer kernel for it",
    "Erf": "onnxruntime has no integer kernel for it, and Gelu loses much in 8 bits",
    "Gelu": "it loses much in 8 bits",
    "GRU": "onnxruntime has no static integer kernel for recurrent layers",
    "InstanceNormalization": "normalisation loses much in 8 bits",
    "LayerNormalization": "normalisation loses much in 8 bits",
    "LSTM": "onnxruntime has no static integer kernel for recurrent layers",
    "Pad": "onnxruntime has no integer kernel for it; edgebig optimize folds it into a convolution or pool",
    "RNN": "onnxruntime has no static integer kernel for recurrent layers",
    "Softmax": "its outputs span more than 8 bits can tell apart",
    "Sub": "onnxruntime has no integer kernel for it",
}

COSTS = Int8Costs(
    quantize=0.4,
    dequantize=0.3,
    node=2000.0,
    # Of integers the second factor is packed anew on every run, which short sequences do not repay.
    multiply_add=OpCost(int8=0.06, float32=0.03),
    per_element={
        "Add": OpCost(0.12, 0.2),
        "Mul": OpCost(0.12, 0.2),
        "Concat": OpCost(0.25, 0.1),
        "AveragePool": OpCost(3.0, 0.4),
        "GlobalAveragePool": OpCost(0.1, 0.2),
        "ReduceMean": OpCost(0.1, 0.2),
        "Sigmoid": OpCost(0.67, 0.5),
        "LeakyRelu": OpCost(0.6, 0.2),
        "HardSigmoid": OpCost(0.12, 0.2),
        "HardSwish": OpCost(0.25, 0.6),
        "Relu": OpCost(0.12, 0.1),
        "Clip": OpCost(0.12, 0.1),
        "Transpose": OpCost(0.3, 0.4),
        "MaxPool": OpCost(0.4, 0.4),
        "Resize": OpCost(0.4, 0.5),
    },
    after_float={"MaxPool": 4.0, "AveragePool": 2.0, "HardSwish": 0.4, "HardSigmoid": 0.2, "Relu": 0.1, "Clip": 0.1},
)

SELECTORS = "onnxruntime, core/optimizer/qdq_transformer/selectors_actions/qdq_selector_action_transformer.cc"
QUANTIZATION_GUIDE = "onnxruntime.ai/docs/performance/model-optimizations/quantization.html"
SOURCES = {
    "int8_ops": SELECTORS,
    "fused_ops": SELECTORS,
    "activation_dtypes": f"{QUANTIZATION_GUIDE}; U8S8 against S8S8 measured on x86 with onnxruntime 1.31",
    "weight_bits": f"{QUANTIZATION_GUIDE}, reduce_range; microsoft/onnxruntime issue 5849",
    "saturating_pairs": "vpmaddubsw, Intel 64 Software Developer's Manual, volume 2; microsoft/onnxruntime issue 5849",
    "releases": "onnxruntime.ai/docs/reference/compatibility",
    "minimum_opset": "ONNX: DequantizeLinear has an axis since opset 13",
    "forms": "dynamic int8 convolutions measured at 0.08 to 0.14 of float's speed; microsoft/onnxruntime issue 12854",
}


def ort_cpu() -> Target:
    """The rules for onnxruntime on this machine's processor."""
    if is_arm64():
        return _arm64("ort-cpu", "onnxruntime, CPU provider, this machine's processor")
    saturates = is_x86() and not has_vnni()
    return _target("ort-cpu", "onnxruntime, CPU provider, this machine's processor", saturates=saturates)


def ort_cpu_vnni() -> Target:
    """The rules for onnxruntime on x86 with AVX512-VNNI or AVX-VNNI."""
    return _target("ort-cpu-vnni", "onnxruntime, CPU provider, x86 with VNNI", saturates=False)


def ort_cpu_avx2() -> Target:
    """The rules for onnxruntime on x86 without VNNI: AVX2, or AVX512 of the first generation."""
    return _target("ort-cpu-avx2", "onnxruntime, CPU provider, x86 without VNNI", saturates=True)


def ort_cpu_arm64() -> Target:
    """The rules for onnxruntime on 64-bit ARM."""
    return _arm64("ort-cpu-arm64", "onnxruntime, CPU provider, 64-bit ARM")


def _arm64(name: str, description: str) -> Target:
    return _target(name, description, saturates=False, activation_dtypes=("int8", "uint8"))


def _target(name: str, description: str, *, saturates: bool, activation_dtypes: tuple[str, ...] = ("uint8",)) -> Target:
    return Target(
        name=name,
        description=description,
        providers=("CPUExecutionProvider",),
        activation_dtype=activation_dtypes[0],
        activation_dtypes=activation_dtypes,
        weight_dtype="int8",
        weight_bits=7 if saturates else 8,
        saturating_pairs=saturates,
        per_channel_weights=True,
        int8_ops=INT8_OPS,
        replaced_ops=REPLACED_OPS,
        fused_ops=FUSED_OPS,
        float_result_ops=frozenset({"MatMul", "Gemm", "ArgMax"}),
        int8_costs=COSTS,
        float_ops=FLOAT_OPS,
        # Below it onnxruntime leaves its direct kernel and gathers the input byte by byte.
        fewest_input_channels=4,
        float_products=64,
        # onnxruntime moves QuantizeLinear up through MaxPool; in integers it is ten times slower on NCHW.
        guarded_ops=frozenset({"MaxPool"}),
        pattern_gains={"channel": "removed channels shrink every tensor, so each operator does less work"},
        releases=ONNXRUNTIME,
        sources=SOURCES,
    )
