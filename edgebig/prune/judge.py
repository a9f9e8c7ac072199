"""How much worse a pruned model is: disagreement with the original on held-out samples, or the drop of a metric."""

import math
from typing import Protocol

import onnx_ir as ir

from edgebig.data.samples import Samples
from edgebig.evaluate import load_task, task_score
from edgebig.evaluate.output_loss import OutputLoss


class Judge(Protocol):
    """Gives the loss of a model; 0 is as good as the original, more is worse.

    Attributes:
        name: What the loss is.
    """

    name: str

    def of(self, model: ir.Model) -> float | None:
        """The loss of a model; None where it is NaN or infinite."""
        ...


class OutputJudge:
    """Judges by the outputs.

    Args:
        outputs: The original's outputs on held-out samples.
    """

    def __init__(self, outputs: OutputLoss) -> None:
        self.name = outputs.loss
        self._outputs = outputs

    def of(self, model: ir.Model) -> float | None:
        """The loss of the worst output."""
        return _finite(self._outputs.of(model))


class TaskJudge:
    """Judges by a task's metric.

    Args:
        original: The original.
        spec: The task, as `load_task` takes it.
        threads: Threads within an operator.
    """

    def __init__(self, original: ir.Model, spec: str, threads: int) -> None:
        self._task = load_task(spec)
        self._threads = threads
        self.name = f"drop of {self._task.name}"
        self._before = task_score(original, self._task, threads=threads)

    def of(self, model: ir.Model) -> float | None:
        """How far the metric fell; negative where it rose."""
        return _finite(self._before - task_score(model, self._task, threads=self._threads))


def count(samples: Samples) -> tuple[int, int]:
    """Feeds, and samples in them (the sizes of their first axis)."""
    feeds = total = 0
    for feed in samples:
        feeds += 1
        total += max((array.shape[0] for array in feed.values() if array.ndim), default=1)
    return feeds, total


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None
