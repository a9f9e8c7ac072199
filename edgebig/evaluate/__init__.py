"""Judging models: a task's metric against labels, and the outputs of two models against each other."""

from edgebig.evaluate.compare import compare_models
from edgebig.evaluate.score import evaluate_model, evaluate_models, task_score
from edgebig.evaluate.task import Task, load_task

__all__ = ["Task", "compare_models", "evaluate_model", "evaluate_models", "load_task", "task_score"]
