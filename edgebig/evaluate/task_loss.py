"""The drop of a task's metric as a loss, for all that asks for one: pruning, loss budgets."""

import math

import onnx_ir as ir

from edgebig.errors import InvalidDataError
from edgebig.evaluate.score import task_score
from edgebig.evaluate.task import Task, load_task
from edgebig.graph.load import describe_source


class TaskLoss:
    """Judges changed models by a task, relative to the original.

    Args:
        reference: The original.
        task: A task, or what `edgebig.evaluate.load_task` takes.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.

    Raises:
        UnknownNameError, UsageError, InvalidModelError: The task or the model cannot be used.
        InvalidDataError: The task does not fit the model, or gives the original no finite score.
    """

    def __init__(self, reference: ir.Model, task: Task | str, *, threads: int = 0) -> None:
        self.task = load_task(task) if isinstance(task, str) else task
        self._threads = threads
        self._before = task_score(reference, self.task, threads=threads)
        if not math.isfinite(self._before):
            raise InvalidDataError(
                f"task {self.task.name}: {describe_source(reference)} itself has no finite score, so that nothing "
                f"can be compared with it. Check the task's samples and labels."
            )

    @property
    def loss(self) -> str:
        """What the loss is."""
        return f"drop of {self.task.name}"

    def of(self, model: ir.Model) -> float:
        """How far the metric is worse than the original's: 0 is equal or better; infinity for a score of NaN."""
        return max(0.0, self._before - task_score(model, self.task, threads=self._threads))
