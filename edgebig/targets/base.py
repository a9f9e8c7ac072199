"""A target: what an execution provider fuses, refuses or slows down, as data.

Quantization reads it to write what the target fuses, lint to explain a file that somebody else wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from edgebig.targets.costs import Int8Costs, OpCost
from edgebig.targets.release import Release

__all__ = ["Bias", "Elementwise", "Form", "Int8Costs", "OpCost", "Release", "Target"]


class Bias(Enum):
    """How the bias of a quantized Conv, ConvTranspose, Gemm or MatMul is written.

    Attributes:
        INT32: int32 behind a DequantizeLinear whose scale is (input scale) * (weight scale), zero point 0.
        FLOAT: As it is in the float model; a DequantizeLinear on int32 is refused.
    """

    INT32 = "int32"
    FLOAT = "float"


class Elementwise(Enum):
    """Which Add and Mul are worth integers.

    Attributes:
        ALL: All whose inputs and output are quantized.
        RESIDUAL: Only an Add with one input straight from a Conv, Gemm or MatMul, and then only its other input (the
            shortcut) gets a pair: the Add is fused into the kernel before it, which would else be kept from it by the
            pair in between. Chains of elementwise operators stay in float, where they are fused to one kernel.
    """

    ALL = "all"
    RESIDUAL = "residual"


class Form(Enum):
    """Ways to write quantization in ONNX.

    Attributes:
        QDQ: Float operators between DequantizeLinear and QuantizeLinear.
        QOPERATOR: QLinearConv, QLinearMatMul, QLinearAdd, QGemm, ...
        DYNAMIC: DynamicQuantizeLinear with ConvInteger or MatMulInteger, DynamicQuantizeMatMul, DynamicQuantizeLSTM.
        NBITS: com.microsoft.MatMulNBits (GatherBlockQuantized): weights in few bits, activations in float.
        BLOCKED_DQ: DequantizeLinear of opset 21 with a block size on a 4-bit or 8-bit weight, activations in float.
    """

    QDQ = "QDQ"
    QOPERATOR = "QOperator"
    DYNAMIC = "dynamic"
    NBITS = "MatMulNBits"
    BLOCKED_DQ = "blocked DequantizeLinear"


ALL_FORMS = frozenset(Form)
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(frozen=True)
class Target:
    """The rules of one execution target.

    Attributes:
        name: Its name on the command line.
        description: One line for people.
        providers: onnxruntime execution providers, in order.
        activation_dtype: Integer dtype of quantized activations that runs fastest there.
        weight_dtype: Integer dtype of quantized weights.
        weight_bits: Bits of the weights that are safe: 8, or 7 where 8-bit products saturate 16-bit sums.
        per_channel_weights: Whether weights may have a scale per output channel.
        int8_ops: Operators that run in integers when Q and DQ surround them on all sides.
        int8_costs: What running them so gains and costs.
        float_ops: Operators that stay in float whatever surrounds them, and why.
        replaced_ops: Those of `int8_ops` that it has no integer kernel for, and that are written with others instead.
        fewest_input_channels: Convolutions with fewer input channels per group (depthwise ones apart) leave the fast
            integer kernel, and are slower than float if they also have no more products per output than the next.
        float_products: See above.
        guarded_ops: Float operators that the runtime would pull into integers, at a loss, where QuantizeLinear follows
            directly; a Clip without effect between them prevents it.
        pattern_gains: Pruning pattern -> why it makes the model faster there; a pattern that is missing gains
            nothing but file size.
        activation_dtypes: All integer dtypes of activations that are fused, the best first.
        symmetric_activations: Whether the zero point of activations must be 0 (with int8: the range is symmetric).
        wide_activation_dtype: Integer dtype of 16 bits that activations may have where 8 are too few; None: none.
        symmetric_weights: Whether the zero points of weights must be 0.
        fused_ops: Operators that the runtime itself fuses between DequantizeLinear and QuantizeLinear; empty: all of
            `int8_ops` (those may also name operators that quantization writes with others).
        float_result_ops: Those of them that run in integers without a QuantizeLinear behind them, where
            `quantize_results` holds.
        per_channel_ops: Operators whose weights may have a scale per output channel; those of others get one scale.
            The axis is always the output channel's: Conv 0, ConvTranspose 1, Gemm 0 (transB) or 1, MatMul last.
        gemm_transposed: Whether a Gemm with a scale per channel must have transB=1, that is a weight [N, K], axis 0.
        bias: How biases are written.
        pairs_per_consumer: Whether each consumer of a quantized activation gets a QuantizeLinear and DequantizeLinear
            of its own (True), or all share one pair (False).
        quantize_results: Whether integer operators need a QuantizeLinear behind them. False: quantize the inputs of
            weighted operators alone; a result gets a pair only where a consumer wants it in integers.
        elementwise: Which Add and Mul are worth integers.
        forms: Forms of quantization that run there.
        minimum_opset: Files below it are raised first.
        releases: What versions of the runtime read, oldest first; empty where nobody says.
        releases_current: Whether the newest of them is the newest there is; where not, files are held against a version
            only when it is named.
        runtime: The runtime whose versions these are.
        static_shapes: Whether all shapes must be fixed.
        falls_back: Whether an operator that the target lacks runs on the CPU (True), or the file is refused (False).
        supported_ops: All operators of the standard domain that it has; None where the list is not closed.
        refused_ops: Operators of the standard domain that it lacks, where `supported_ops` is None.
        integer_only: Whether float operators leave the accelerator.
        strongly_typed: Whether precision is what the graph says, and no flag of the builder changes it.
        saturating_pairs: Whether 8-bit kernels add pairs of products in saturating 16 bits (vpmaddubsw).
        sources: Attribute of this class -> where the rule is stated.
    """

    name: str
    description: str
    providers: tuple[str, ...]
    activation_dtype: str
    weight_dtype: str
    weight_bits: int
    per_channel_weights: bool
    int8_ops: frozenset[str]
    int8_costs: Int8Costs
    float_ops: Mapping[str, str] = field(default_factory=dict)
    replaced_ops: frozenset[str] = frozenset()
    fewest_input_channels: int = 1
    float_products: int = 0
    guarded_ops: frozenset[str] = frozenset()
    pattern_gains: Mapping[str, str] = field(default_factory=dict)
    activation_dtypes: tuple[str, ...] = ("uint8",)
    symmetric_activations: bool = False
    wide_activation_dtype: str | None = None
    symmetric_weights: bool = False
    fused_ops: frozenset[str] = frozenset()
    float_result_ops: frozenset[str] = frozenset()
    per_channel_ops: frozenset[str] = WEIGHTED
    gemm_transposed: bool = False
    bias: Bias = Bias.INT32
    pairs_per_consumer: bool = False
    quantize_results: bool = True
    elementwise: Elementwise = Elementwise.ALL
    forms: frozenset[Form] = ALL_FORMS
    minimum_opset: int = 13
    releases: tuple[Release, ...] = ()
    releases_current: bool = True
    runtime: str = "onnxruntime"
    static_shapes: bool = False
    falls_back: bool = True
    supported_ops: frozenset[str] | None = None
    refused_ops: frozenset[str] = frozenset()
    integer_only: bool = False
    strongly_typed: bool = False
    saturating_pairs: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)

    def fuses(self, op_type: str) -> bool:
        """Whether the runtime runs an operator in integers where Q and DQ surround it as it wants them."""
        return op_type in (self.fused_ops or self.int8_ops)

    def lacks(self, op_type: str) -> bool:
        """Whether the target has no form of an operator of the standard domain."""
        if self.supported_ops is not None:
            return op_type not in self.supported_ops
        return op_type in self.refused_ops
