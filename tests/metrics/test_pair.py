"""Losses of two models' outputs against naive oracles, and on arrays as models really give them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from edgebig.errors import UnknownNameError, UsageError
from edgebig.metrics.pair import check_loss, choose_loss, guarded_loss, pair_losses, sqnr_db
from tests.naive import metrics as naive

FEW = settings(max_examples=60, deadline=None)
NUMBERS = st.floats(-100, 100, width=32)


@FEW
@given(arrays(np.float32, (7, 3), elements=NUMBERS), arrays(np.float32, (7, 3), elements=NUMBERS))
def test_losses_equal_their_oracles(reference: NDArray, changed: NDArray) -> None:
    reference[:, 0] += 200  # no vector of length zero
    changed[:, 1] += 200
    distance = pair_losses.get("cosine-distance")(reference, changed)
    assert distance == pytest.approx(naive.cosine_distance(reference.tolist(), changed.tolist()), abs=1e-9)
    error = pair_losses.get("relative-error")(reference, changed)
    assert error == pytest.approx(naive.relative_error(reference.ravel().tolist(), changed.ravel().tolist()), rel=1e-9)
    labels = changed.argmax(-1)
    expected = 1 - naive.top1(reference.tolist(), labels.tolist())
    assert pair_losses.get("disagreement")(reference, changed) == pytest.approx(expected)


@pytest.mark.parametrize("name", pair_losses.names())
def test_equal_arrays_lose_nothing(name: str) -> None:
    array = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    array[2] = 0
    assert guarded_loss(name, array, array.copy()) == 0.0


def test_sqnr() -> None:
    array = np.ones((4, 4), np.float32)
    assert sqnr_db(array, array * np.float32(1.01)) == pytest.approx(40.0, abs=0.01)
    assert sqnr_db(array, array) == float("inf")


def test_shapes_emptiness_and_nan() -> None:
    ones = np.ones((2, 3), np.float32)
    assert guarded_loss("relative-error", ones, np.ones((2, 4), np.float32)) == 1.0
    assert guarded_loss("disagreement", np.empty((0, 3)), np.empty((0, 3))) == 0.0
    assert guarded_loss("disagreement", ones, ones * np.nan) == float("inf")
    assert guarded_loss("relative-error", ones, np.array([[1, 1, np.inf], [1, 1, 1]])) == float("inf")


def test_masked_scores_of_the_original_are_left_out() -> None:
    reference = np.array([[1.0, 5.0, -np.inf], [2.0, 1.0, -np.inf]])
    changed = np.array([[1.0, 5.0, 3e38], [2.0, 1.0, np.nan]])
    assert guarded_loss("disagreement", reference, changed) == 0.0
    assert guarded_loss("relative-error", reference, changed) == 0.0
    assert guarded_loss("disagreement", reference, np.where(np.isfinite(reference), -changed, changed)) == 1.0


SCORES = np.array([[0.1, 3.0], [2.0, -1.0]], np.float32)
SURE = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([SCORES], "disagreement"),
        ([SURE], "disagreement"),
        ([np.array([[0.6, -0.8]], np.float32), np.array([[1.0, 0.0]], np.float32)], "cosine-distance"),
        ([np.empty((0, 2), np.float32), SCORES], "disagreement"),
        ([np.ones((2, 1), np.float32)], "relative-error"),
        ([np.ones((2, 3, 4), np.float32)], "relative-error"),
        ([np.float32(1.5)], "relative-error"),
        ([np.ones((2, 3), np.uint8)], "relative-error"),
        ([np.ones((2,), np.int64)], "mismatch"),
        ([np.array(["a", "b"], object)], "mismatch"),
        ([np.ones((2, 2), bool)], "mismatch"),
    ],
)
def test_the_loss_that_fits(outputs: list[NDArray], expected: str) -> None:
    assert choose_loss([np.asarray(array) for array in outputs]) == expected
    assert guarded_loss(expected, np.asarray(outputs[-1]), np.asarray(outputs[-1])) == 0.0


def test_a_loss_that_cannot_judge_is_refused() -> None:
    assert check_loss("disagreement", "y", [SCORES]) == "disagreement"
    with pytest.raises(UsageError, match=r"cannot judge output 'y' .* Use 'relative-error'"):
        check_loss("disagreement", "y", [np.ones((2, 1), np.float32)])
    with pytest.raises(UsageError, match="'mismatch'"):
        check_loss("relative-error", "y", [np.array(["a"], object)])
    with pytest.raises(UnknownNameError, match="Known: disagreement"):
        check_loss("nonsense", "y", [SCORES])
