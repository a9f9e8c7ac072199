"""Task metrics against naive oracles, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from edgebig.errors import InvalidDataError
from edgebig.metrics import task_metrics
from edgebig.metrics.outputs import stack_output
from tests.naive import metrics as naive

# Few distinct values: ties are frequent.
VALUES = st.integers(-4, 4).map(float)
FEW = settings(max_examples=25, deadline=None)  # each draws a bootstrap


@st.composite
def scored(draw: st.DrawFn, classes: int = 4) -> tuple[NDArray, NDArray]:
    n = draw(st.integers(1, 30))
    scores = draw(arrays(np.float32, (n, classes), elements=VALUES))
    labels = draw(arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    return scores, labels


@FEW
@given(scored())
def test_top1_equals_the_oracle(case: tuple[NDArray, NDArray]) -> None:
    scores, labels = case
    result = task_metrics.get("top1")(scores, labels)
    share = naive.top1(scores.tolist(), labels.tolist())
    assert result.value == pytest.approx(share, abs=1e-12)
    assert result.standard_error == pytest.approx(math.sqrt(share * (1 - share) / len(labels)), abs=1e-12)
    assert result.per_sample is not None
    assert result.per_sample.mean() == pytest.approx(share, abs=1e-12)
    assert (result.name, result.n, result.higher_is_better) == ("top1", len(labels), True)


@FEW
@given(scored())
def test_f1_macro_equals_the_oracle(case: tuple[NDArray, NDArray]) -> None:
    scores, labels = case
    expected = naive.f1_macro(scores.argmax(-1).tolist(), labels.tolist())
    assert task_metrics.get("f1-macro")(scores, labels).value == pytest.approx(expected, abs=1e-12)


@FEW
@given(arrays(np.float32, st.integers(2, 30), elements=VALUES), st.data())
def test_auc_equals_the_oracle(scores: NDArray, data: st.DataObject) -> None:
    labels = data.draw(arrays(np.int64, len(scores), elements=st.integers(0, 1)))
    labels[:2] = 0, 1
    expected = naive.auc_roc(scores.tolist(), labels.tolist())
    auc = task_metrics.get("auc-roc")
    assert auc(scores, labels).value == pytest.approx(expected, abs=1e-12)
    assert auc(scores[:, None], labels).value == pytest.approx(expected, abs=1e-12)
    assert auc(np.stack([-scores, scores], 1), labels).value == pytest.approx(expected, abs=1e-12)


@FEW
@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e3, 1e3)), st.data())
def test_squared_errors_equal_the_oracle(values: NDArray, data: st.DataObject) -> None:
    targets = data.draw(arrays(np.float64, len(values), elements=st.floats(-1e3, 1e3)))
    expected = naive.mse(values.tolist(), targets.tolist())
    mse, rmse = task_metrics.get("mse")(values, targets), task_metrics.get("rmse")(values, targets)
    assert mse.value == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert rmse.value == pytest.approx(math.sqrt(expected), rel=1e-12, abs=1e-12)
    assert not mse.higher_is_better
    assert mse.score == -mse.value


def test_a_column_is_a_vector() -> None:
    values, targets = np.array([[1.0], [2.0], [4.0]], np.float32), np.array([1.0, 2.0, 3.0])
    assert task_metrics.get("mse")(values, targets).value == pytest.approx(1 / 3)


@pytest.mark.parametrize(("metric", "share"), [("top1", 0.8), ("f1-macro", 0.8)])
def test_standard_errors_cover_repeated_draws(metric: str, share: float) -> None:
    """The stated error agrees with the spread over many independent sets of samples, within 15 %."""
    generator = np.random.default_rng(7)
    values, errors = [], []
    for _ in range(40):
        labels = generator.integers(0, 3, 400)
        right = generator.random(400) < share
        scores = np.eye(3, dtype=np.float32)[np.where(right, labels, (labels + 1) % 3)]
        result = task_metrics.get(metric)(scores, labels)
        values.append(result.value)
        errors.append(result.standard_error)
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.25)
    assert np.mean(errors) == pytest.approx(math.sqrt(share * (1 - share) / 400), rel=0.15)


def test_bootstrap_errors_repeat() -> None:
    generator = np.random.default_rng(1)
    scores, labels = generator.normal(size=(50, 3)), generator.integers(0, 3, 50)
    first, second = (task_metrics.get("f1-macro")(scores, labels) for _ in range(2))
    assert first.standard_error == second.standard_error
    assert first.replicates is not None
    np.testing.assert_array_equal(first.replicates, second.replicates)


def test_rows_with_nan_are_wrong() -> None:
    scores = np.array([[np.nan, 1.0], [0.0, np.inf], [0.0, 1.0]], np.float32)
    labels = np.array([0, 1, 1])
    assert task_metrics.get("top1")(scores, labels).value == pytest.approx(1 / 3)
    assert task_metrics.get("f1-macro")(scores, labels).value == pytest.approx((0 + 2 / 3) / 2)
    auc = task_metrics.get("auc-roc")(scores[:, 1] * np.nan, labels)
    assert math.isnan(auc.value)
    assert auc.score == -math.inf


def test_class_indices_are_predictions() -> None:
    assert task_metrics.get("top1")(np.array([0, 2, 1]), [0, 2, 2]).value == pytest.approx(2 / 3)
    assert task_metrics.get("top1")(np.eye(3)[:, :, None, None], [0, 1, 0]).value == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("metric", "outputs", "labels", "words"),
    [
        ("top1", np.eye(3), [0, 1], "2 labels, the model gave 3 outputs"),
        ("top1", np.eye(3), [0, 1, 3], "labels run from 0 to 3, the model has classes 0 to 2"),
        ("top1", np.eye(3), [-1, 1, 2], "labels run from -1"),
        ("top1", np.eye(3), [0.0, 1.0, 2.0], "integer labels"),
        ("top1", np.ones((3, 1)), [0, 0, 0], "class scores"),
        ("top1", np.ones((3, 4, 5)), [0, 0, 0], "class scores"),
        ("top1", np.empty((0, 3)), np.empty(0, int), "empty"),
        ("f1-macro", np.ones(3), [0, 0, 0], "class scores"),
        ("auc-roc", np.ones(3), [1, 1, 1], "both present"),
        ("auc-roc", np.ones(3), [0, 1, 2], "labels 0 and 1"),
        ("auc-roc", np.ones((3, 3)), [0, 1, 1], "takes scores"),
        ("mse", np.ones((3, 2)), np.ones(3), "shape"),
        ("mse", np.ones(3), ["a", "b", "c"], "finite numbers"),
        ("rmse", np.ones(3), [0.0, 1.0, np.nan], "finite numbers"),
    ],
)
def test_bad_input_is_refused(metric: str, outputs: NDArray, labels: object, words: str) -> None:
    with pytest.raises(InvalidDataError, match=words):
        task_metrics.get(metric)(outputs, labels)


def test_outputs_are_stacked_in_order() -> None:
    outputs = [{"a": np.array([[1.0, 2.0]]), "b": np.float32(3)}, {"a": np.array([[3.0, 4.0]]), "b": np.float32(5)}]
    assert stack_output(outputs, None).tolist() == [[1, 2], [3, 4]]
    assert stack_output(outputs, "b").tolist() == [3, 5]
    with pytest.raises(InvalidDataError, match=r"no output 'c'\. Its outputs: a, b"):
        stack_output(outputs, "c")
    with pytest.raises(InvalidDataError, match="other shapes"):
        stack_output([{"a": np.ones((1, 2))}, {"a": np.ones((1, 3))}], None)
    with pytest.raises(InvalidDataError, match="got none"):
        stack_output([], None)
