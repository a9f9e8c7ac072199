"""Quality gates of scores."""

import numpy as np
import pytest

from edgebig.errors import QualityGateError
from edgebig.evaluate.gates import check_scores
from edgebig.evaluate.score import evaluate_models
from edgebig.evaluate.task import Task, resolve_metric
from edgebig.records.evaluation import EvaluationsRecord
from tests.evaluate.linear import linear_model

X = np.eye(4, dtype=np.float32)
EYE = np.eye(4, dtype=np.float32)
SWAPPED = EYE[[1, 0, 2, 3]]  # half of the samples wrong


def scores(metric: str = "top1") -> EvaluationsRecord:
    labels = np.arange(4) if metric == "top1" else X
    return evaluate_models(
        [linear_model(EYE), linear_model(SWAPPED)], Task("t", {"x": X}, labels, resolve_metric(metric))
    )


def test_gates_that_hold() -> None:
    check_scores(scores())
    check_scores(scores(), minimum=0.5, max_drop=0.5)
    check_scores(scores("mse"), maximum=0.25, max_drop=0.25)


@pytest.mark.parametrize(
    ("metric", "gate", "words"),
    [
        ("top1", {"minimum": 0.51}, "linear: top1 0.5 is below --min 0.51"),
        ("mse", {"maximum": 0.2}, "mse 0.25 is above --max 0.2"),
        ("top1", {"max_drop": 0.49}, "worse than the first model's by 0.5, above --max-drop 0.49"),
        ("mse", {"max_drop": 0.2}, "worse than the first model's by 0.25"),
    ],
)
def test_gates_that_are_missed(metric: str, gate: dict[str, float], words: str) -> None:
    with pytest.raises(QualityGateError, match=words) as caught:
        check_scores(scores(metric), **gate)
    assert caught.value.exit_code == 3


def test_nan_passes_no_gate() -> None:
    task = Task("t", {"x": X}, X, resolve_metric("mse"))
    record = evaluate_models([linear_model(EYE), linear_model(EYE * np.float32("nan"))], task)
    for gate in ({"minimum": -1e9}, {"maximum": 1e9}, {"max_drop": 1e9}):
        with pytest.raises(QualityGateError, match="not finite"):
            check_scores(record, **gate)
    check_scores(record)
