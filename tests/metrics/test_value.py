"""Paired errors: of the difference of two models over the same samples."""

import numpy as np
import pytest

from edgebig.metrics import MetricValue, task_metrics
from edgebig.metrics.value import mean_value, paired_error


def test_equal_models_differ_by_nothing() -> None:
    parts = np.random.default_rng(0).random(100)
    first, second = (mean_value("m", parts, higher_is_better=True) for _ in range(2))
    assert paired_error(first, second) == 0.0
    assert first.standard_error == pytest.approx(parts.std(ddof=1) / 10)


def test_paired_error_of_a_mean_is_that_of_the_differences() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.random(200), generator.random(200)
    first, second = (mean_value("m", parts, higher_is_better=True) for parts in (a, b))
    assert paired_error(first, second) == pytest.approx(np.std(b - a, ddof=1) / np.sqrt(200))


@pytest.mark.parametrize("metric", ["top1", "f1-macro", "auc-roc", "rmse"])
def test_pairing_gains_where_models_err_together(metric: str) -> None:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 2, 500)
    scores = np.stack([1 - labels, labels], 1) + generator.normal(0, 0.7, (500, 2))
    changed = scores + generator.normal(0, 0.05, scores.shape)
    if metric == "rmse":
        scores, changed = scores[:, 1], changed[:, 1]
    first, second = (task_metrics.get(metric)(outputs, labels) for outputs in (scores, changed))
    error = paired_error(first, second)
    assert error is not None
    assert first.standard_error is not None
    assert 0 < error < 0.5 * first.standard_error


def test_unknown_where_nothing_is_kept() -> None:
    bare = MetricValue(name="own", value=0.5, n=10)
    assert paired_error(bare, bare) is None
    assert mean_value("m", np.array([1.0]), higher_is_better=True).standard_error is None


def test_score_turns_errors_around() -> None:
    assert MetricValue(name="e", value=0.25, n=1, higher_is_better=False).score == -0.25
    assert MetricValue(name="e", value=float("nan"), n=1, higher_is_better=False).score == float("-inf")
