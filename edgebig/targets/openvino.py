"""OpenVINO: asymmetric u8 activations, symmetric i8 weights per channel; its low precision passes move scales along.

They propagate a DequantizeLinear through the operators behind it, so a result needs no pair of its own where the next
consumer has one. Without VNNI its u8 x i8 kernels saturate as onnxruntime's do (its tools call the guard overflow fix).
"""

from edgebig.targets.base import Form, Target
from edgebig.targets.costs import ACCELERATOR_COSTS
from edgebig.targets.cpu_features import has_vnni, is_x86
from edgebig.targets.ort_cpu import MOVING_OPS

INT8_OPS = MOVING_OPS | {
    *("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Concat", "AveragePool", "GlobalAveragePool"),
    *("ReduceMean", "Relu", "Clip"),
}
FLOAT_OPS = {
    "BatchNormalization": "it is fused into the convolution before it",
    "Div": "OpenVINO has no integer kernel for it",
    "Erf": "OpenVINO has no integer kernel for it",
    "Gelu": "OpenVINO fuses it in float behind an integer product",
    "HardSigmoid": "OpenVINO fuses it in float behind an integer product",
    "HardSwish": "OpenVINO fuses it in float behind an integer product",
    "InstanceNormalization": "normalisation loses much in 8 bits",
    "LayerNormalization": "normalisation loses much in 8 bits",
    "LeakyRelu": "OpenVINO fuses it in float behind an integer product",
    "Pad": "OpenVINO has no integer kernel for it",
    "Sigmoid": "OpenVINO fuses it in float behind an integer product",
    "Softmax": "its outputs span more than 8 bits can tell apart",
    "Sub": "OpenVINO has no integer kernel for it",
}
LOW_PRECISION = "docs.openvino.ai, OpenVINO Low Precision Transformations"


def openvino() -> Target:
    """The rules of OpenVINO on a CPU of this machine's kind (x86 without VNNI saturates), or an Intel GPU."""
    saturates = is_x86() and not has_vnni()
    return Target(
        name="openvino",
        description="OpenVINO, CPU and GPU plugins",
        providers=("OpenVINOExecutionProvider", "CPUExecutionProvider"),
        activation_dtype="uint8",
        activation_dtypes=("uint8", "int8"),
        weight_dtype="int8",
        weight_bits=7 if saturates else 8,
        saturating_pairs=saturates,
        symmetric_weights=True,
        per_channel_weights=True,
        int8_ops=INT8_OPS,
        int8_costs=ACCELERATOR_COSTS,
        float_ops=FLOAT_OPS,
        pattern_gains={"channel": "removed channels shrink every tensor, so each operator does less work"},
        quantize_results=False,
        forms=frozenset({Form.QDQ, Form.QOPERATOR, Form.BLOCKED_DQ, Form.NBITS}),
        runtime="OpenVINO",
        falls_back=False,
        sources={
            "int8_ops": LOW_PRECISION,
            "activation_dtypes": f"{LOW_PRECISION}; NNCF: asymmetric activations, symmetric weights",
            "symmetric_weights": "NNCF, quantization schemes for the CPU",
            "minimum_opset": "NNCF, ONNX models: opset 13 or newer",
            "weight_bits": "NNCF, overflow_fix; openvinotoolkit/openvino issue 25342",
            "saturating_pairs": "NNCF, overflow_fix",
            "quantize_results": f"{LOW_PRECISION}: a dequantization is moved through the operators behind it",
            "forms": "openvinotoolkit/openvino, src/frontends/onnx/docs/supported_ops.md",
        },
    )
