"""What `edgebig compare` found: how far two models' outputs are apart on the same samples."""

import dataclasses
from typing import ClassVar

from edgebig.records.base import Record
from edgebig.records.evaluation import ModelFile
from edgebig.records.measurement import MeasurementRecord


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputComparison:
    """One output of both models.

    Attributes:
        output: Its name.
        loss_name: Which loss judged it.
        loss: The loss, 0 when equal; null where the changed model's output holds NaN or infinity.
        sqnr_db: 20 log10(rms(original) / rms(difference)), in dB; null where equal, or not numbers.
        max_abs_error: The largest difference of an entry; null where not numbers or not finite.
        cosine: The cosine of both outputs seen as one vector; null where not numbers or not finite.
        top1_agreement: Share of positions with the same largest entry of the last axis; null where that axis is no
            row of scores.
        other_shapes: Feeds on which the two outputs have different shapes; they count as loss 1 and nowhere else.
    """

    output: str
    loss_name: str
    loss: float | None
    sqnr_db: float | None
    max_abs_error: float | None
    cosine: float | None
    top1_agreement: float | None
    other_shapes: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ComparisonRecord(Record):
    """Two models on the same samples.

    Attributes:
        reference: The original.
        changed: The model compared with it.
        data: Where the samples come from.
        feeds: How many feeds both ran on.
        outputs: A row per output.
        loss: The loss of the worst output; null where an output of the changed model holds NaN or infinity.
        latency: Both models' latency, interleaved; null where it was not measured.
        versions: Versions of edgebig and of the packages that decide the result.
        cpu: The processor.
    """

    schema: ClassVar[str] = "edgebig.comparison"

    reference: ModelFile
    changed: ModelFile
    data: str
    feeds: int
    outputs: tuple[OutputComparison, ...]
    loss: float | None
    latency: MeasurementRecord | None
    versions: dict[str, str]
    cpu: str
