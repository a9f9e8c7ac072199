"""A task: samples, their labels, and the metric that scores outputs against them.

A task is a function that returns (feeds, labels, metric). It is named `package.module:function`,
`path/file.py:function`, or by a folder NAME of reference models, whose `models/NAME/task.py` has a function `task`.
The metric is a name out of `edgebig.metrics.task_metrics` ("top1", or "top1:OUTPUT" for another output than the
first), or a function of (outputs, labels) that returns a number or a `MetricValue`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgebig.data.callables import is_callable_spec, load_callable
from edgebig.data.samples import Samples
from edgebig.errors import InvalidDataError, UnknownNameError, UsageError
from edgebig.metrics import MetricValue, Outputs, task_metrics
from edgebig.metrics.outputs import stack_output

Metric = Callable[[Outputs, Any], MetricValue]

TASK_FILE = "task.py"
TASK_FUNCTION = "task"


@dataclass(frozen=True)
class Task:
    """What models are scored on.

    Attributes:
        name: The task in the user's words.
        feeds: Anything `edgebig.data.samples.open_samples` takes.
        labels: What the metric compares with, in the order of the feeds.
        metric: Takes all outputs and the labels.
        files: The file of a task that is one, for provenance.
    """

    name: str
    feeds: Any
    labels: Any
    metric: Metric
    files: tuple[Path, ...] = ()


def load_task(spec: str) -> Task:
    """Find a task and call its function.

    Args:
        spec: A name under `models/` (of the working folder, or beside the edgebig package), `package.module:function`,
            or `path/file.py:function`. The function's Python code runs, as naming it asks for.

    Raises:
        UnknownNameError: No such name; the message lists the known ones.
        UsageError: The function cannot be loaded, or fails.
        InvalidDataError: It returns something else than (feeds, labels, metric).
    """
    location = spec if is_callable_spec(spec) else f"{_find(spec)}:{TASK_FUNCTION}"
    function = load_callable(location, purpose="--task")
    try:
        result = function()
    except Exception as e:  # the user's function may fail in any way
        raise UsageError(f"task {spec}: it failed with {type(e).__name__}: {e}") from e
    if not isinstance(result, tuple) or len(result) != 3:
        raise InvalidDataError(f"task {spec} must return (feeds, labels, metric), it returned {type(result).__name__}")
    feeds, labels, metric = result
    file = Path(location.rpartition(":")[0])
    files = (file,) if file.suffix == ".py" else ()
    return Task(spec, _keep(feeds, spec), labels, resolve_metric(metric), files)


def resolve_metric(metric: object) -> Metric:
    """A function of (outputs, labels) from a registered name, "NAME:OUTPUT", or the user's own function.

    Raises:
        UnknownNameError: No such metric.
        UsageError: Neither a name nor a function.
    """
    if callable(metric):
        return lambda outputs, labels: _own_metric(metric, outputs, labels)
    if not isinstance(metric, str):
        raise UsageError(f"a metric is a name or a function of (outputs, labels), got {type(metric).__name__}")
    name, _, output = metric.partition(":")
    function = task_metrics.get(name)
    return lambda outputs, labels: function(stack_output(outputs, output or None), labels)


def _own_metric(function: Callable[..., Any], outputs: Outputs, labels: Any) -> MetricValue:
    name = getattr(function, "__name__", type(function).__name__)
    try:
        result = function(outputs, labels)
    except Exception as e:  # the user's function may fail in any way
        raise UsageError(f"metric {name}: it failed with {type(e).__name__}: {e}") from e
    if isinstance(result, MetricValue):
        return result
    if not np.isscalar(result) and np.ndim(result) != 0:
        raise UsageError(f"metric {name} must return a number or a MetricValue, it returned {type(result).__name__}")
    try:
        value = float(result)
    except (TypeError, ValueError) as e:
        kind = type(result).__name__
        raise UsageError(f"metric {name} must return a number or a MetricValue, it returned {kind}") from e
    return MetricValue(name=name, value=value, n=len(labels) if hasattr(labels, "__len__") else len(outputs))


def _keep(feeds: Any, spec: str) -> Any:
    """Feeds that can be gone through again and again."""
    if isinstance(feeds, Mapping | Samples | str | Path):
        return feeds
    try:
        return list(feeds)
    except TypeError as e:
        raise InvalidDataError(f"task {spec}: its feeds are {type(feeds).__name__}, not a list of feed dicts") from e


def _find(name: str) -> Path:
    for folder in _model_folders():
        if (folder / name / TASK_FILE).is_file():
            return folder / name / TASK_FILE
    if name.endswith(".py"):
        raise UsageError(f"task {name!r} names a file but no function. Give file and function: {name}:{TASK_FUNCTION}")
    paths = [path for folder in _model_folders() for path in sorted(folder.glob(f"*/{TASK_FILE}"))]
    known = ", ".join(dict.fromkeys(path.parent.name for path in paths)) or "none"
    raise UnknownNameError(
        f"unknown task {name!r}. Known: {known}. Or name a function: package.module:function, path/file.py:function."
    )


def _model_folders() -> tuple[Path, Path]:
    """Of the working folder, and of the repository that this package lies in."""
    return Path("models"), Path(__file__).resolve().parents[2] / "models"
