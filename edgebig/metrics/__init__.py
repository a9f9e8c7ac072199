"""Metrics: how good outputs are against labels, and how far two models' outputs are apart.

A task metric takes one output over all samples and the labels, and gives a `MetricValue`. To add one: a file of its
own, and a line below.
"""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from edgebig.metrics.auc_roc import auc_roc
from edgebig.metrics.f1_macro import f1_macro
from edgebig.metrics.squared_error import mse, rmse
from edgebig.metrics.top1 import top1
from edgebig.metrics.value import MetricValue, Outputs
from edgebig.registry import Registry

TaskMetric = Callable[[NDArray, Any], MetricValue]

task_metrics: Registry[TaskMetric] = Registry("metric")
task_metrics.register("top1", top1)
task_metrics.register("f1-macro", f1_macro)
task_metrics.register("auc-roc", auc_roc)
task_metrics.register("mse", mse)
task_metrics.register("rmse", rmse)

__all__ = ["MetricValue", "Outputs", "TaskMetric", "task_metrics"]
