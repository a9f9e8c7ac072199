"""What `edgebig quantize` is asked, and what it did."""

import dataclasses
import re
from collections.abc import Sequence
from typing import ClassVar

from edgebig.errors import UsageError
from edgebig.records.base import Record
from edgebig.records.comparison import OutputComparison
from edgebig.records.sensitivity import BudgetRecord

AUTO = "auto"
FLOAT = "float"
FAST, DEFAULT, MAX = "fast", "default", "max"
EFFORTS = (FAST, DEFAULT, MAX)
ALGORITHMS = ("equalize", "smooth_quant", "weight_mse", "bias_correction", "gptq", "adaround")
SCHEMES = (AUTO, "int8", "int8-dynamic", "int8-weight", "int4-weight", "fp16")
CALIBRATIONS = (AUTO, "minmax", "percentile", "entropy", "mse")
QOPERATOR, NBITS = "qoperator", "nbits"
FORMATS = (AUTO, "qdq", QOPERATOR, NBITS)
ACTIVATION_BITS = (8, 16)
WEIGHT_METHODS = (AUTO, "rtn", "hqq", "gptq")
WEIGHT_BITS = (AUTO, "7", "8")
BLOCK_SIZES = (16, 32, 64, 128, 256, -1)
ALLOWED: dict[str, tuple[object, ...]] = {
    "effort": EFFORTS,
    "format": FORMATS,
    "weight_method": WEIGHT_METHODS,
    "weight_bits": WEIGHT_BITS,
    "block_size": BLOCK_SIZES,
    "activation_bits": ACTIVATION_BITS,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizeOptions:
    """Options of quantization.

    Attributes:
        scheme: What becomes integers, and when (see `edgebig.quantize.schemes`).
        target: Where the result will run (see `edgebig.targets`).
        calibration: How ranges of activations are chosen (see `edgebig.quantize.calibrate`).
        format: How integers are written: "auto", what runs fastest; "qdq"; "qoperator" (static: QLinearConv, ...);
            "nbits" (weight-only: MatMulNBits).
        activation_bits: Static: 8, or 16 where the target has them.
        block_size: Weight-only: inputs that share a scale; -1 for all.
        weight_method: Weight-only: "rtn", "hqq", "gptq"; "auto": GPTQ for 4 bits where there are samples.
        weight_bits: "8"; "7" for integers up to 64; or "auto": 8, and where the target's kernels add products in 16
            bits, neighbours held so small that no sum overflows.
        exclude: Names of nodes that stay in float; `*`, `?` and `[...]` match as in file names.
        samples: At most this many samples (of arrays) or feeds; None for all.
        ram_budget: Memory for observing, e.g. "512MB", "1GB"; less means smaller steps.
        effort: "fast": ranges by one method, weights rounded; "default": ranges and accuracy algorithms by what they do
            to held-out samples; "max": AdaRound too.
        equalize: Cross-layer equalisation; this and the five below: True for always, False for never, None for what
            the effort says, and only where the held-out loss does not get worse.
        smooth_quant: SmoothQuant.
        weight_mse: Scales of weights by the smallest error.
        bias_correction: Biases make up for the shift of the outputs' means by the rounding of weights.
        gptq: Rounding of static int8 weights with feedback.
        adaround: Rounding of static int8 weights by learning; it takes long, so that only "max" tries it.
        max_loss: The most that the loss may be: layers stay in float until it is met; None: no budget.
        task: What the loss is measured on with labels (see `edgebig.evaluate.load_task`): the drop of its metric;
            None for the distance of the outputs on held-out samples.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
        cache: Whether statistics of tensors are kept, and taken where they are of the same model and samples.
    """

    scheme: str = AUTO
    target: str = "ort-cpu"
    calibration: str = AUTO
    format: str = AUTO
    activation_bits: int = 8
    block_size: int = 32
    weight_method: str = AUTO
    weight_bits: str = AUTO
    exclude: tuple[str, ...] = ()
    samples: int | None = None
    ram_budget: str = "1GB"
    effort: str = DEFAULT
    equalize: bool | None = None
    smooth_quant: bool | None = None
    weight_mse: bool | None = None
    bias_correction: bool | None = None
    gptq: bool | None = None
    adaround: bool | None = None
    max_loss: float | None = None
    task: str | None = None
    threads: int = 0
    cache: bool = True

    def __post_init__(self) -> None:
        for name, allowed in ALLOWED.items():
            if getattr(self, name) not in allowed:
                given = getattr(self, name)
                raise UsageError(f"{name} is {given!r}; allowed: {', '.join(str(value) for value in allowed)}")
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"samples is {self.samples}; it must be at least 1")
        if self.max_loss is not None and not self.max_loss >= 0:
            raise UsageError(f"max_loss is {self.max_loss}; it must not be negative")
        if self.threads < 0:
            raise UsageError(f"threads is {self.threads}; it must not be negative")
        parse_size(self.ram_budget)


def parse_size(text: str) -> int:
    """Bytes of a size such as "512MB", "1GB", "1.5GiB" or "1000000".

    Raises:
        UsageError: It is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"size {text!r} is not understood. Write e.g. 512MB or 1GB.")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** " kmgt".index(match[2].lower() or " "))


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeCoverage:
    """What became of one node.

    Attributes:
        node: Its name.
        op_type: Its operator.
        precision: What it became: "int8", "int8 dynamic", "int4, blocks of 32, GPTQ", "float16", or "float".
        reason: Why not, else what is worth knowing; may be empty.
        multiply_adds: On one sample; 0 for operators without weights.
        weights: Numbers in its weight; 0 where it has none.
        weight_error: Mean squared error of its weight over mean square; None where it has no quantized weight.
    """

    node: str
    op_type: str
    precision: str
    reason: str
    multiply_adds: int
    weights: int
    weight_error: float | None = None

    @property
    def quantized(self) -> bool:
        """Whether it has left float32, or vanished into a node that has."""
        return self.precision != FLOAT


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizedTensor:
    """One activation tensor in integers.

    Attributes:
        tensor: Its name in the float model.
        scale: Of its integers.
        zero_point: The integer of 0.
        observed_low: Smallest value seen; None for tensors that share another's scale.
        observed_high: Largest value seen; None likewise.
    """

    tensor: str
    scale: float
    zero_point: int
    observed_low: float | None
    observed_high: float | None


@dataclasses.dataclass(frozen=True)
class AlgorithmReport:
    """What an accuracy algorithm did, and what it was worth.

    Attributes:
        algorithm: Its name, as on the command line.
        kept: Whether the model has it.
        where: What it changed, in words, one entry per place; empty where it found nothing to do.
        skipped: Places it left alone, with the reason.
        loss_before: Loss of the quantized model on held-out samples without it; None where it was not measured.
        loss_after: The same with it.
        reason: Why it was not kept, in words; empty where it was.
    """

    algorithm: str
    kept: bool
    where: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    loss_before: float | None = None
    loss_after: float | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SchemeTrial:
    """A scheme that was written and measured against the float model.

    Attributes:
        scheme: In words.
        speedup: How many times as fast as the float model it runs here; None where the target does not run here.
        slower: Whether it is shown to be slower than the float model.
        loss: The worst output's loss on the held-out feeds; None where an output holds NaN or infinity.
        sqnr_db: The worst output's signal to quantization noise ratio there; None where no output has any.
        chosen: Whether it is the result.
        reason: Why, or why not.
    """

    scheme: str
    speedup: float | None
    slower: bool
    loss: float | None
    sqnr_db: float | None
    chosen: bool = False
    reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantizeRecord(Record):
    """What quantization did.

    Attributes:
        target: Where the result runs.
        scheme: What became integers, and when, in words.
        calibration: How ranges were chosen; empty where none were.
        weight_bits: Bits of the weights, in words.
        machine: Facts of the machine that decided the result.
        nodes: Every node of the float model's graph.
        tensors: Every quantized activation.
        feeds: Feeds the ranges were observed on.
        passes: Times the samples were gone through for that.
        held_out: Feeds the losses were measured on, none of them among the former unless `notes` says so.
        outputs: How far each output is from the float model's on the held-out feeds.
        loss: The worst of them; None where an output holds NaN or infinity, or nothing was held out.
        bytes_before: Size of the float model.
        bytes_after: Size of the result.
        bytes_by_kind: Where these bytes are, largest first: weights by dtype, scales and zero points, the graph.
        trials: Schemes that were tried, where the choice was left open.
        budget: How a loss budget was met; None where there was none.
        algorithms: What the accuracy algorithms did, in order.
        notes: What else the user should know.
    """

    schema: ClassVar[str] = "edgebig.quantize"

    target: str
    scheme: str
    calibration: str
    weight_bits: str
    machine: dict[str, str]
    nodes: tuple[NodeCoverage, ...]
    tensors: tuple[QuantizedTensor, ...]
    feeds: int
    passes: int
    held_out: int
    outputs: tuple[OutputComparison, ...]
    loss: float | None
    bytes_before: int
    bytes_after: int
    bytes_by_kind: dict[str, int] = dataclasses.field(default_factory=dict)
    trials: tuple[SchemeTrial, ...] = ()
    budget: BudgetRecord | None = None
    algorithms: tuple[AlgorithmReport, ...] = ()
    notes: tuple[str, ...] = ()

    def with_notes(self, notes: Sequence[str]) -> "QuantizeRecord":
        """The same with further notes."""
        return dataclasses.replace(self, notes=(*self.notes, *notes))

    @property
    def quantized_nodes(self) -> int:
        """Nodes that have left float32, or vanished into one that has."""
        return sum(node.quantized for node in self.nodes)

    @property
    def multiply_add_share(self) -> float:
        """Share of the multiply-adds whose weights have left float32."""
        return _share(self.nodes, "multiply_adds")

    @property
    def weight_share(self) -> float:
        """Share of the numbers in weights that have left float32."""
        return _share(self.nodes, "weights")


def _share(nodes: tuple[NodeCoverage, ...], count: str) -> float:
    total = sum(getattr(node, count) for node in nodes)
    return sum(getattr(node, count) for node in nodes if node.quantized) / total if total else 0.0
