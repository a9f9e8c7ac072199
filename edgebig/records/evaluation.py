"""What `edgebig evaluate` found: the score of a model on a task, and the differences of several."""

import dataclasses
from typing import ClassVar

from edgebig.records.base import Record


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFile:
    """Which model a record is about.

    Attributes:
        name: The file's name (no folders: they say nothing elsewhere), or the graph's name.
        sha256: Of the `.onnx` file and its external data; null for a model in memory.
        bytes: Size of both; null for a model in memory.
    """

    name: str
    sha256: str | None
    bytes: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationRecord(Record):
    """The score of one model on one task.

    Attributes:
        model: The model.
        task: The task's name.
        metric: The metric's name.
        value: The metric's value; null where it is not finite.
        standard_error: Its standard error from the choice of the samples; null where unknown.
        n: How many samples it was taken over.
        higher_is_better: Whether a larger value is better.
        data_sha256: Of the feeds' contents: records with another one are not comparable.
        seconds: What running the model on all feeds took. Not a benchmark: one run, no warm-up.
        threads: Threads within an operator; 0: onnxruntime's choice.
        versions: Versions of edgebig and of the packages that decide the result.
        cpu: The processor; int8 sums can saturate on some, so a score belongs to it.
    """

    schema: ClassVar[str] = "edgebig.evaluation"

    model: ModelFile
    task: str
    metric: str
    value: float | None
    standard_error: float | None
    n: int
    higher_is_better: bool
    data_sha256: str
    seconds: float
    threads: int
    versions: dict[str, str]
    cpu: str

    @property
    def score(self) -> float:
        """The value turned so that higher is better; minus infinity where it is not finite."""
        if self.value is None:
            return float("-inf")
        return self.value if self.higher_is_better else -self.value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """How far a model's value is from the first model's.

    Attributes:
        model: The model's file name.
        difference: Its value minus the first's; null where one is not finite.
        standard_error: Of the difference, paired over the samples; null where the metric gives nothing per sample.
    """

    model: str
    difference: float | None
    standard_error: float | None

    @property
    def is_noise(self) -> bool | None:
        """Whether the difference is under two of its standard errors; None where that is unknown."""
        if self.difference is None or self.standard_error is None:
            return None
        return abs(self.difference) <= 2.0 * self.standard_error


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationsRecord(Record):
    """Several models on the same task.

    Attributes:
        models: A record per model, in the order given.
        differences: Of each further model to the first.
    """

    schema: ClassVar[str] = "edgebig.evaluations"

    models: tuple[EvaluationRecord, ...]
    differences: tuple[Difference, ...]
