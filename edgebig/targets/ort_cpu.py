"""onnxruntime's CPU provider: U8 activations, S8 per-channel weights; QDQ is fused only where it surrounds a node.

On x86 without VNNI the U8S8 kernels add pairs of products in 16 bits and saturate, so weights get 7 bits there
(onnxruntime calls this reduce_range).
"""

from edgebig.targets.base import Target
from edgebig.targets.cpu_features import has_vnni, is_x86

INT8_OPS = frozenset(
    {
        *("Conv", "Gemm", "MatMul", "Add", "Mul", "AveragePool", "GlobalAveragePool", "Concat", "Sigmoid"),
        *("LeakyRelu", "Softmax", "MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Resize"),
        *("Split", "Slice", "Gather", "Relu", "Clip"),
    }
)


def ort_cpu() -> Target:
    """The rules for onnxruntime on this machine's processor."""
    return Target(
        name="ort-cpu",
        description="onnxruntime, CPU provider",
        providers=("CPUExecutionProvider",),
        activation_dtype="uint8",
        weight_dtype="int8",
        weight_bits=7 if is_x86() and not has_vnni() else 8,
        per_channel_weights=True,
        int8_ops=INT8_OPS,
        pattern_gains={"channel": "removed channels shrink every tensor, so each operator does less work"},
    )
