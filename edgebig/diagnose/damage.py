"""How much of the loss of the quantized model each layer answers for: the loss with that layer in float."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.samples import Samples
from edgebig.diagnose.inspected import Inspected
from edgebig.diagnose.restore import restored_model
from edgebig.evaluate.output_loss import OutputLoss
from edgebig.evaluate.score import task_score
from edgebig.evaluate.task import Task
from edgebig.graph.load import resolve_model
from edgebig.graph.session import Session
from edgebig.metrics.pair import guarded_loss
from edgebig.records.diagnose import Judged


@dataclass(frozen=True)
class Judgement:
    """What a version of the quantized model loses.

    Attributes:
        error: Root mean square of the difference of the worst output over that of the output; infinite for NaN.
        loss: The loss that fits each output, of the worst.
        score: The task's metric, higher is better; None without a task.
    """

    error: float
    loss: float
    score: float | None = None


class Judge:
    """Judges versions of the quantized model on the samples, and on the task if there is one.

    Args:
        original: The float model.
        samples: The feeds.
        task: Labelled samples and a metric, or None.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.
    """

    def __init__(self, original: ir.Model | Path, samples: Samples, task: Task | None, *, threads: int = 0) -> None:
        self._outputs = OutputLoss(original, samples, threads=threads)
        self._original, self._samples = original, samples
        self._task, self._threads = task, threads
        self.losses = dict(self._outputs.losses)

    @property
    def loss_name(self) -> str:
        """The name of the loss."""
        return self._outputs.loss

    def of(self, model: ir.Model | Path) -> Judgement:
        """Run one version.

        Raises:
            InvalidModelError: It cannot be run.
        """
        sums = {name: [0.0, 0.0, 0] for name in self.losses}
        for reference, changed in self._outputs.pairs(model):
            for name, total in sums.items():
                weight = max(reference[name].size, 1)
                total[0] += _error(reference[name], changed[name]) ** 2 * weight
                total[1] += guarded_loss(self.losses[name], reference[name], changed[name]) * weight
                total[2] += weight
        error = max(math.sqrt(total[0] / total[2]) for total in sums.values())
        loss = max(total[1] / total[2] for total in sums.values())
        return Judgement(error, loss, self.score_of(model))

    def score_of(self, model: ir.Model | Path) -> float | None:
        """The task's score of a model; None without a task."""
        if self._task is None:
            return None
        return task_score(resolve_model(model), self._task, threads=self._threads)

    def restored(self, inspected: Inspected, layers: Collection[ir.Node]) -> Judgement:
        """Judge the quantized model with layers in float."""
        return self.of(restored_model(inspected, layers))

    def as_defined(self, model: ir.Model) -> Judgement:
        """Judge a model run as written, operator by operator: nothing is fused into kernels of this processor."""
        sums = {name: [0.0, 0] for name in self.losses}
        with (
            Session(self._original, threads=self._threads) as first,
            Session(model, threads=self._threads, optimize=False) as second,
        ):
            for feed in self._samples:
                reference, changed = first.run(feed, list(sums)), second.run(feed, list(sums))
                for name, total in sums.items():
                    total[0] += _error(reference[name], changed[name]) ** 2 * max(reference[name].size, 1)
                    total[1] += max(reference[name].size, 1)
        error = max(math.sqrt(total[0] / total[1]) for total in sums.values())
        return Judgement(error, error)


def _error(reference: NDArray, changed: NDArray) -> float:
    return guarded_loss("relative-error" if reference.dtype.kind == "f" else "mismatch", reference, changed)


def finite(value: float | None) -> float | None:
    """A number for a record: None for NaN and infinity."""
    return value if value is not None and math.isfinite(value) else None


def judged(found: Judgement) -> Judged:
    """A judgement as a record holds it."""
    return Judged(error=finite(found.error), loss=finite(found.loss), score=finite(found.score))


def recovered(base: Judgement, found: Judgement) -> float | None:
    """The share of the outputs' error that a change takes back; 1 where it makes infinite errors finite."""
    if not math.isfinite(base.error):
        return 1.0 if math.isfinite(found.error) else 0.0
    if not math.isfinite(found.error) or not base.error:
        return None
    return 1.0 - found.error / base.error
