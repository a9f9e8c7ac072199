"""Score models on a task."""

import hashlib
import math
from collections.abc import Sequence
from time import perf_counter

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.feeds import Feed
from edgebig.data.samples import Samples, open_samples
from edgebig.errors import InvalidDataError, UsageError
from edgebig.evaluate.model_file import OpenedModel, open_model
from edgebig.evaluate.task import Task, load_task
from edgebig.graph.interface import input_specs
from edgebig.graph.load import ModelLike, describe_source
from edgebig.graph.provenance import package_versions
from edgebig.graph.session import Session
from edgebig.metrics import MetricValue
from edgebig.metrics.value import paired_error
from edgebig.progress import track
from edgebig.records.evaluation import Difference, EvaluationRecord, EvaluationsRecord
from edgebig.targets.cpu_features import cpu_model


def evaluate_model(model: ModelLike, task: Task | str, *, threads: int = 0) -> EvaluationRecord:
    """Score one model on a task.

    Args:
        model: The model, or its path.
        task: A task, or what `load_task` takes.
        threads: Threads within an operator; 0 leaves the choice to onnxruntime.

    Raises:
        InvalidModelError, InvalidDataError, UsageError: The model, the task's samples or the metric do not work.
    """
    return evaluate_models([model], task, threads=threads).models[0]


def evaluate_models(models: Sequence[ModelLike], task: Task | str, *, threads: int = 0) -> EvaluationsRecord:
    """Score several models on a task, and compare each with the first over the same samples.

    All models are loaded and the task's samples checked against their inputs before any of them runs.

    Raises:
        InvalidModelError, InvalidDataError, UsageError: A model, the task's samples or the metric do not work.
    """
    if not models:
        raise UsageError("there is no model to evaluate. Name one or more .onnx files.")
    task = load_task(task) if isinstance(task, str) else task
    opened = [open_model(model) for model in models]
    samples = [_fitting(task, model.graph, model.file.name) for model in opened]
    results = [_score(model, part, task, threads) for model, part in zip(opened, samples, strict=True)]
    first = results[0][1]
    return EvaluationsRecord(
        models=tuple(record for record, _ in results),
        differences=tuple(_difference(record, first, value) for record, value in results[1:]),
    )


def task_score(model: ir.Model, task: Task, *, threads: int = 0) -> float:
    """The value of the task's metric, turned so that higher is better; minus infinity for NaN."""
    samples = _fitting(task, model, describe_source(model))
    with Session(model, threads=threads) as session:
        outputs = [session.run(feed) for feed in track(samples, "evaluating", samples.feeds)]
    return task.metric(outputs, task.labels).score


def _fitting(task: Task, model: ir.Model, name: str) -> Samples:
    try:
        return open_samples(task.feeds, input_specs(model))
    except InvalidDataError as e:
        raise InvalidDataError(f"task {task.name} does not fit {name}: {e}") from e


def _score(model: OpenedModel, samples: Samples, task: Task, threads: int) -> tuple[EvaluationRecord, MetricValue]:
    digest = hashlib.sha256()
    outputs: list[dict[str, NDArray]] = []
    seconds = 0.0
    with Session(model.source, threads=threads) as session:
        for feed in track(samples, f"evaluating {model.file.name}", samples.feeds):
            _hash_feed(digest, feed)
            start = perf_counter()
            outputs.append(session.run(feed))
            seconds += perf_counter() - start
    value = task.metric(outputs, task.labels)
    record = EvaluationRecord(
        model=model.file,
        task=task.name,
        metric=value.name,
        value=_finite(value.value),
        standard_error=_finite(value.standard_error),
        n=value.n,
        higher_is_better=value.higher_is_better,
        data_sha256=digest.hexdigest(),
        seconds=seconds,
        threads=threads,
        versions=package_versions(),
        cpu=cpu_model(),
    )
    return record, value


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _hash_feed(digest: "hashlib._Hash", feed: Feed) -> None:
    for name in sorted(feed):
        array = np.ascontiguousarray(feed[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(repr(array.tolist()).encode() if array.dtype.hasobject else array.data)


def _difference(record: EvaluationRecord, first: MetricValue, value: MetricValue) -> Difference:
    difference = value.value - first.value
    comparable = math.isfinite(difference) and first.n == value.n
    return Difference(
        model=record.model.name,
        difference=difference if comparable else None,
        standard_error=_finite(paired_error(first, value)) if comparable else None,
    )
