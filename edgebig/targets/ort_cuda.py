"""onnxruntime's CUDA provider: of QDQ it fuses blocked 4-bit weights alone, so int8 QDQ runs in float, with detours.

Its integer kernels are those of dynamic and weight-only quantization; fp16 and MatMulNBits are what pays.
"""

from edgebig.targets.base import Form, Target
from edgebig.targets.costs import ACCELERATOR_COSTS
from edgebig.targets.release import ONNXRUNTIME

NOT_FUSED = "onnxruntime's CUDA provider fuses no QDQ around it: it would run in float, with conversions on top"
SELECTORS = "onnxruntime, core/optimizer/qdq_transformer/selectors_actions/qdq_selector_action_transformer.cc"


def ort_cuda() -> Target:
    """The rules for onnxruntime on an NVIDIA GPU without TensorRT."""
    return Target(
        name="ort-cuda",
        description="onnxruntime, CUDA provider",
        providers=("CUDAExecutionProvider", "CPUExecutionProvider"),
        activation_dtype="int8",
        activation_dtypes=("int8", "uint8"),
        weight_dtype="int8",
        weight_bits=8,
        per_channel_weights=True,
        int8_ops=frozenset(),
        int8_costs=ACCELERATOR_COSTS,
        float_ops=dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul"), NOT_FUSED),
        pattern_gains={"channel": "removed channels shrink every tensor, so each operator does less work"},
        forms=frozenset({Form.NBITS, Form.BLOCKED_DQ}),
        releases=ONNXRUNTIME,
        sources={
            "int8_ops": SELECTORS,
            "forms": f"{SELECTORS}: the rule for MatMulNBits is the only one registered for CUDA; "
            "onnxruntime docs/OperatorKernels.md",
            "releases": "onnxruntime.ai/docs/reference/compatibility",
        },
    )
