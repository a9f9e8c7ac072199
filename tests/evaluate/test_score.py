"""Scores of models on a task, and their differences."""

from pathlib import Path

import numpy as np
import pytest

from edgebig.errors import InvalidDataError, InvalidModelError, UsageError
from edgebig.evaluate import evaluate_model, load_task, task_score
from edgebig.evaluate.score import evaluate_models
from edgebig.evaluate.task import Task, resolve_metric
from edgebig.files import sha256
from edgebig.records.evaluation import Difference, EvaluationRecord, EvaluationsRecord
from tests.evaluate.linear import linear_model, save_linear

GENERATOR = np.random.default_rng(5)
X = GENERATOR.normal(size=(100, 3)).astype(np.float32)
LABELS = np.where(GENERATOR.random(100) < 0.8, X.argmax(1), 0)
EYE = np.eye(3, dtype=np.float32)
OTHER = np.array([[1, 0.5, 0], [0, 1, 0.5], [0.5, 0, 1]], np.float32)


def task(metric: str = "top1") -> Task:
    return Task("toy", {"x": X}, LABELS, resolve_metric(metric))


def correct(weight: np.ndarray) -> np.ndarray:
    return (X @ weight).argmax(1) == LABELS


def test_a_record_states_what_was_scored(tmp_path: Path) -> None:
    path = save_linear(tmp_path / "m.onnx", EYE)
    record = evaluate_model(path, task(), threads=1)
    share = correct(EYE).mean()
    assert record.value == pytest.approx(share)
    assert record.standard_error == pytest.approx(np.sqrt(share * (1 - share) / 100))
    assert (record.n, record.metric, record.task, record.threads) == (100, "top1", "toy", 1)
    assert record.model.name == "m.onnx"
    assert record.model.sha256 == sha256(path)
    assert record.model.bytes == path.stat().st_size
    assert record.seconds > 0
    assert EvaluationRecord.from_json(record.to_json()) == record


def test_a_model_in_memory_has_no_hash() -> None:
    record = evaluate_model(linear_model(EYE), task())
    assert (record.model.name, record.model.sha256, record.model.bytes) == ("linear", None, None)


def test_the_data_have_a_hash() -> None:
    first = evaluate_model(linear_model(EYE), task())
    assert evaluate_model(linear_model(OTHER), task()).data_sha256 == first.data_sha256
    changed = Task("toy", {"x": X + np.float32(1e-3)}, LABELS, resolve_metric("top1"))
    assert evaluate_model(linear_model(EYE), changed).data_sha256 != first.data_sha256


def test_differences_are_paired(tmp_path: Path) -> None:
    paths = [save_linear(tmp_path / f"{name}.onnx", weight) for name, weight in (("a", EYE), ("b", OTHER))]
    record = evaluate_models([*paths, paths[0]], task())
    parts = correct(OTHER).astype(float) - correct(EYE)
    assert [difference.model for difference in record.differences] == ["b.onnx", "a.onnx"]
    assert record.differences[0].difference == pytest.approx(parts.mean())
    assert record.differences[0].standard_error == pytest.approx(parts.std(ddof=1) / 10)
    assert (record.differences[1].difference, record.differences[1].standard_error) == (0.0, 0.0)
    assert EvaluationsRecord.from_json(record.to_json()) == record


def test_noise_is_called_noise() -> None:
    assert Difference(model="m", difference=-0.01, standard_error=0.006).is_noise
    assert not Difference(model="m", difference=-0.013, standard_error=0.006).is_noise
    assert Difference(model="m", difference=-0.01, standard_error=None).is_noise is None


def test_the_score_is_higher_for_the_better() -> None:
    assert task_score(linear_model(EYE), task()) == pytest.approx(correct(EYE).mean())
    values = Task("toy", {"x": X}, X.astype(np.float64), resolve_metric("mse"))
    assert task_score(linear_model(EYE), values) == pytest.approx(0.0, abs=1e-12)
    assert task_score(linear_model(EYE * 2), values) == pytest.approx(-np.square(X).mean(), rel=1e-5)
    assert task_score(linear_model(EYE * np.float32("nan")), values) == float("-inf")


def test_nan_outputs_are_recorded(tmp_path: Path) -> None:
    values = Task("toy", {"x": X}, X, resolve_metric("mse"))
    record = evaluate_models([linear_model(EYE), linear_model(EYE * np.float32("nan"))], values)
    assert record.models[1].value is None
    assert record.models[1].score == float("-inf")
    assert record.differences[0].difference is None
    assert EvaluationsRecord.from_json(record.to_json()) == record


def test_every_model_is_checked_before_one_runs(tmp_path: Path) -> None:
    ran = []

    def metric(outputs: object, labels: object) -> float:
        ran.append(1)
        return 1.0

    good, other = save_linear(tmp_path / "a.onnx", EYE), save_linear(tmp_path / "b.onnx", np.ones((4, 2)))
    spy = Task("toy", {"x": X}, LABELS, resolve_metric(metric))
    with pytest.raises(InvalidDataError, match=r"task toy does not fit b\.onnx: .*shape"):
        evaluate_models([good, other], spy)
    with pytest.raises(InvalidModelError, match="there is no file"):
        evaluate_models([good, tmp_path / "none.onnx"], spy)
    assert not ran
    with pytest.raises(UsageError, match="no model"):
        evaluate_models([], spy)


def test_a_fixed_batch_that_drops_samples_is_refused() -> None:
    with pytest.raises(InvalidDataError, match="100 labels, the model gave 98 outputs"):
        evaluate_model(linear_model(EYE, batch=7), task())


@pytest.mark.slow
def test_a_real_model_on_real_images(shared: Path) -> None:
    """The shared network is far above chance on its own task, and the record agrees with a plain count."""
    images = load_task("fashion_mobilenet")
    renamed = Task("fashion", [{"x": feed["image"]} for feed in images.feeds], images.labels, images.metric)
    record = evaluate_model(shared / "models" / "fashion" / "cnn.onnx", renamed, threads=1)
    assert record.n == 2000
    assert record.value is not None
    assert 0.88 < record.value < 0.94
