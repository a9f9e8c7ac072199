"""Two models' outputs on the same samples."""

from pathlib import Path

import numpy as np
import pytest

from edgebig.errors import InvalidDataError, InvalidModelError, QualityGateError
from edgebig.evaluate import compare_models
from edgebig.evaluate.gates import check_comparison
from edgebig.records.comparison import ComparisonRecord
from tests.evaluate.linear import linear_model, save_linear

GENERATOR = np.random.default_rng(9)
X = GENERATOR.normal(size=(50, 5)).astype(np.float32)
WEIGHT = GENERATOR.normal(size=(5, 3)).astype(np.float32)
CHANGED = (WEIGHT + GENERATOR.normal(0, 0.2, WEIGHT.shape)).astype(np.float32)


def test_every_distance_agrees_with_numpy(tmp_path: Path) -> None:
    paths = save_linear(tmp_path / "a.onnx", WEIGHT), save_linear(tmp_path / "b.onnx", CHANGED)
    record = compare_models(*paths, {"x": X}, threads=1)
    a, b = (X.astype(np.float64) @ weight for weight in (WEIGHT, CHANGED))
    same = (a.argmax(1) == b.argmax(1)).mean()
    assert 0.5 < same < 1
    (row,) = record.outputs
    assert (row.output, row.loss_name, row.other_shapes) == ("y", "disagreement", 0)
    assert row.loss == pytest.approx(1 - same)
    assert row.top1_agreement == pytest.approx(same)
    assert row.max_abs_error == pytest.approx(np.abs(a - b).max(), rel=1e-5)
    assert row.sqnr_db == pytest.approx(10 * np.log10(np.square(a).sum() / np.square(a - b).sum()), abs=1e-3)
    assert row.cosine == pytest.approx((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-6)
    assert record.loss == row.loss
    assert record.feeds == 2
    assert record.reference.bytes == paths[0].stat().st_size
    assert ComparisonRecord.from_json(record.to_json()) == record


def test_equal_models() -> None:
    (row,) = compare_models(linear_model(WEIGHT), linear_model(WEIGHT), {"x": X}).outputs
    assert (row.loss, row.sqnr_db, row.max_abs_error, row.top1_agreement) == (0.0, None, 0.0, 1.0)
    assert row.cosine == pytest.approx(1.0)


def test_nan_is_not_a_number_but_no_pass() -> None:
    record = compare_models(linear_model(WEIGHT), linear_model(WEIGHT * np.float32("nan")), {"x": X})
    assert record.loss is None
    assert record.outputs[0].sqnr_db is None
    assert record.outputs[0].max_abs_error is None
    assert ComparisonRecord.from_json(record.to_json()) == record
    with pytest.raises(QualityGateError, match="output 'y' of the changed model holds NaN"):
        check_comparison(record, max_loss=1e9)


def test_integer_outputs_and_several() -> None:
    then, ints = [("ArgMax", "y", "label")], ["label"]
    record = compare_models(
        linear_model(WEIGHT, then=then, ints=ints), linear_model(-WEIGHT, then=then, ints=ints), {"x": X}
    )
    label = record.outputs[1]
    assert (label.output, label.loss_name, label.top1_agreement) == ("label", "mismatch", None)
    assert record.loss == max(row.loss for row in record.outputs if row.loss is not None)


def test_limit_and_loss() -> None:
    record = compare_models(linear_model(WEIGHT), linear_model(2 * WEIGHT), {"x": X}, loss="relative-error", limit=10)
    assert record.feeds == 1
    assert record.loss == pytest.approx(1.0, rel=1e-6)
    check_comparison(record, max_loss=1.01)
    with pytest.raises(QualityGateError, match=r"output 'y' has relative-error 1, above --max-loss 0\.5"):
        check_comparison(record, max_loss=0.5)


def test_models_that_do_not_match() -> None:
    with pytest.raises(InvalidDataError, match="shape"):
        compare_models(linear_model(WEIGHT), linear_model(np.ones((4, 3))), {"x": X})
    with pytest.raises(InvalidModelError, match="no output 'z'"):
        compare_models(linear_model(WEIGHT, then=[("Relu", "y", "z")]), linear_model(WEIGHT), {"x": X})
    record = compare_models(linear_model(WEIGHT), linear_model(np.ones((5, 2))), {"x": X})
    assert (record.loss, record.outputs[0].other_shapes) == (1.0, 2)
