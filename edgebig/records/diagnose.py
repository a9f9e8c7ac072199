"""What `edgebig diagnose` is asked, and what it found."""

import dataclasses
from typing import ClassVar

from edgebig.errors import UsageError
from edgebig.records.base import Record
from edgebig.records.evaluation import ModelFile
from edgebig.records.quantize import parse_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiagnoseOptions:
    """Options of a diagnosis.

    Attributes:
        task: A task (see `edgebig.evaluate.task.load_task`) that damage is also measured on; None: outputs alone.
        target: Where the quantized model runs (see `edgebig.targets`); it decides which remedies there are.
        layers: How many of the worst layers are put back to float, one at a time.
        samples: At most this many samples (of arrays) or feeds; None for all.
        ram_budget: What the tensors compared at once may take, e.g. "512MB", "1GB"; more tensors mean more passes.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
    """

    task: str | None = None
    target: str = "ort-cpu"
    layers: int = 12
    samples: int | None = None
    ram_budget: str = "1GB"
    threads: int = 0

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise UsageError(f"layers is {self.layers}; it must be at least 1")
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"samples is {self.samples}; it must be at least 1")
        if self.threads < 0:
            raise UsageError(f"threads is {self.threads}; it must not be negative")
        parse_size(self.ram_budget)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cause:
    """Why a layer goes wrong.

    Attributes:
        kind: A short name, the same for all layers with this cause.
        text: In words, with the numbers.
    """

    kind: str
    text: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorError:
    """One tensor of both models. Decibels are null where both are equal, or nothing could be compared.

    Attributes:
        tensor: Its name in the float model.
        layer: The float model's node that gives it; empty for an input.
        own_sqnr_db: Of the quantized layer fed with the float model's tensors.
        sqnr_db: Of the tensor in the quantized model: what came in from before included.
        cosine: Between both.
        bias: Mean of quantized minus float.
        clipped: Share of the float model's numbers that its integers cannot reach.
        low: Smallest number in the float model, masked ones left out.
        high: Largest.
        grid_low: Smallest number that its integers can be; null where it is not quantized with one scale.
        grid_high: Largest.
        not_finite: Numbers that are NaN or infinite in the quantized model only.
    """

    tensor: str
    layer: str
    own_sqnr_db: float | None
    sqnr_db: float | None
    cosine: float | None
    bias: float | None
    clipped: float
    low: float | None
    high: float | None
    grid_low: float | None
    grid_high: float | None
    not_finite: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """What a version of the quantized model loses.

    Attributes:
        error: Root mean square of the difference of the worst output over that of the output; null for NaN.
        loss: The loss that fits each output, of the worst; null for NaN.
        score: The task's metric, turned so that higher is better; null without a task.
    """

    error: float | None
    loss: float | None
    score: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerDiagnosis:
    """One quantized layer, worst first.

    Attributes:
        layer: The float model's node, as `edgebig quantize --exclude` takes it.
        op_type: Its operator.
        quantized: How it is quantized, in words.
        tensor: Its worst tensor.
        own_sqnr_db: See `TensorError`.
        sqnr_db: See `TensorError`.
        together: All nodes that were put back to float with it, since its error lies in a tensor they share.
        restored: The quantized model with these in float; null where that was not tried.
        recovered: The share of the outputs' error that this takes back; negative where it grows; null likewise.
        causes: Why, most telling first; may be empty.
    """

    layer: str
    op_type: str
    quantized: str
    tensor: str
    own_sqnr_db: float | None
    sqnr_db: float | None
    together: tuple[str, ...] = ()
    restored: Judged | None = None
    recovered: float | None = None
    causes: tuple[Cause, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Remedy:
    """A change that was tried on the quantized model.

    Attributes:
        what: In words.
        command: The command line that does it.
        result: The quantized model with it.
        helps: Whether it takes back a good part of the loss.
    """

    what: str
    command: str
    result: Judged
    helps: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiagnoseRecord(Record):
    """What was found.

    Attributes:
        original: The float model.
        quantized: The quantized model.
        data: Where the samples come from.
        feeds: How many feeds were compared.
        passes: How often the samples were gone through to compare tensors.
        loss_name: Which loss judged the outputs.
        judged: What the quantized model loses.
        float_score: The float model's score on the task; null without a task.
        healthy: Whether that is so little that no remedy was looked for.
        matched: Tensors found in both models.
        unmatched: Those of the float model that were not (fused into their readers, renamed).
        first_wrong: The first layer or input, in the order of computation, where the error jumps; null: none does.
        findings: Causes that belong to no layer: the samples, the machine.
        layers: The quantized layers that were looked at, worst first.
        tensors: All tensors, in the order of computation.
        remedies: What was tried, best first.
        command: The command line that repairs it; empty where none was found.
        story: The findings in sentences.
        machine: Facts of the machine that decide how integers are computed.
    """

    schema: ClassVar[str] = "edgebig.diagnose"

    original: ModelFile
    quantized: ModelFile
    data: str
    feeds: int
    passes: int
    loss_name: str
    judged: Judged
    float_score: float | None
    healthy: bool
    matched: int
    unmatched: tuple[str, ...]
    first_wrong: str | None
    findings: tuple[Cause, ...]
    layers: tuple[LayerDiagnosis, ...]
    tensors: tuple[TensorError, ...]
    remedies: tuple[Remedy, ...]
    command: str
    story: tuple[str, ...]
    machine: dict[str, str]
