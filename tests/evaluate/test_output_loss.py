"""OutputLoss: the judge of changed models."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgebig.data.samples import Samples, open_samples
from edgebig.errors import InvalidDataError, InvalidModelError, UnknownNameError, UsageError
from edgebig.evaluate.output_loss import OutputLoss
from edgebig.graph.interface import input_specs
from edgebig.graph.load import load_model
from tests.evaluate.linear import linear_model

WEIGHT = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
SAMPLES = np.random.default_rng(1).normal(size=(70, 6)).astype(np.float32)


def samples(feeds: object = None) -> Samples:
    return open_samples({"x": SAMPLES} if feeds is None else feeds, input_specs(linear_model(WEIGHT)))  # type: ignore[arg-type]


def disagreement(weight: NDArray, x: NDArray = SAMPLES) -> float:
    return float(((x @ WEIGHT).argmax(1) != (x @ weight).argmax(1)).mean())


def test_equal_models_lose_nothing() -> None:
    judge = OutputLoss(linear_model(WEIGHT), samples())
    assert judge.loss == "disagreement"
    assert judge.losses == {"y": "disagreement"}
    assert judge.per_output(linear_model(WEIGHT)) == {"y": 0.0}


def test_batches_count_by_their_rows() -> None:
    """70 samples make batches of 32, 32 and 6; the mean is over samples, not over batches."""
    changed = WEIGHT + np.random.default_rng(2).normal(0, 0.5, WEIGHT.shape).astype(np.float32)
    expected = disagreement(changed)
    assert 0.05 < expected < 0.95
    judge = OutputLoss(linear_model(WEIGHT), samples())
    assert judge.of(linear_model(changed)) == pytest.approx(expected, abs=1e-12)
    assert judge.of(linear_model(changed)) == judge.of(linear_model(changed))
    whole = open_samples({"x": SAMPLES}, input_specs(linear_model(WEIGHT)), batch_size=70)
    assert OutputLoss(linear_model(WEIGHT), whole).of(linear_model(changed)) == pytest.approx(expected, abs=1e-12)


def test_feeds_of_other_shapes() -> None:
    feeds = [{"x": SAMPLES[:5]}, {"x": SAMPLES[5:6]}, {"x": SAMPLES[6:20]}]
    judge = OutputLoss(linear_model(WEIGHT), samples(feeds))
    assert judge.of(linear_model(-WEIGHT)) == disagreement(-WEIGHT, SAMPLES[:20]) == 1.0


def test_the_worst_output_counts_and_each_has_its_loss() -> None:
    then = [("ArgMax", "y", "label"), ("LpNormalization", "y", "unit"), ("Shape", "y", "shape")]
    model = linear_model(WEIGHT, then=then, ints=["label", "shape"])
    judge = OutputLoss(model, samples())
    assert judge.losses == {
        "y": "disagreement",
        "label": "mismatch",
        "unit": "cosine-distance",
        "shape": "mismatch",
    }
    assert judge.loss == "disagreement+mismatch+cosine-distance"
    losses = judge.per_output(linear_model(-WEIGHT, then=then, ints=["label", "shape"]))
    assert losses["unit"] == pytest.approx(2.0)
    assert losses["shape"] == 0.0
    assert judge.of(linear_model(-WEIGHT, then=then, ints=["label", "shape"])) == pytest.approx(2.0)


def test_scalar_outputs() -> None:
    model = linear_model(WEIGHT, then=[("ReduceSum", "y", "sum")])
    judge = OutputLoss(model, samples([{"x": SAMPLES}]), loss="relative-error")
    assert judge.loss == "relative-error"
    assert judge.of(linear_model(WEIGHT * 1.5, then=[("ReduceSum", "y", "sum")])) == pytest.approx(0.5, rel=1e-4)


def test_nan_is_infinitely_bad() -> None:
    judge = OutputLoss(linear_model(WEIGHT), samples())
    assert judge.of(linear_model(WEIGHT * np.float32(np.nan))) == float("inf")


def test_a_named_loss_is_checked() -> None:
    assert OutputLoss(linear_model(WEIGHT), samples(), loss="relative-error").of(linear_model(WEIGHT * 2)) == (
        pytest.approx(1.0, rel=1e-5)
    )
    with pytest.raises(UnknownNameError, match="Known: disagreement"):
        OutputLoss(linear_model(WEIGHT), samples(), loss="accuracy")
    with pytest.raises(UsageError, match="cannot judge output 'y'"):
        OutputLoss(linear_model(WEIGHT[:, :1]), samples(), loss="disagreement")


def test_a_missing_output_is_named() -> None:
    judge = OutputLoss(linear_model(WEIGHT, then=[("Relu", "y", "z")]), samples())
    with pytest.raises(InvalidModelError, match="no output 'z'"):
        judge.of(linear_model(WEIGHT))


def test_samples_must_stay_as_they_are() -> None:
    count = iter((3, 2, 4, 3))

    def walk() -> Iterator[dict[str, NDArray]]:
        for index in range(next(count)):
            yield {"x": SAMPLES[index : index + 1]}

    judge = OutputLoss(linear_model(WEIGHT), Samples("walk", None, (), walk))
    for _ in range(2):
        with pytest.raises(InvalidDataError, match="gave 3 feeds at first"):
            judge.of(linear_model(WEIGHT))
    assert judge.of(linear_model(WEIGHT)) == 0.0


def test_no_feeds() -> None:
    with pytest.raises(InvalidDataError, match="no feeds"):
        OutputLoss(linear_model(WEIGHT), Samples("nothing", 0, (), lambda: iter(())))


def test_the_models_stay_as_they_are() -> None:
    model = linear_model(WEIGHT)
    before = str(model)
    OutputLoss(model, samples()).of(model)
    assert str(model) == before


@pytest.mark.slow
def test_real_models_agree_with_themselves(shared: Path) -> None:
    folder = shared / "models" / "fashion"
    for path in sorted(folder.glob("*.onnx")):
        model = load_model(path)
        data = open_samples(folder / "calib512.npz", input_specs(model), limit=64)
        judge = OutputLoss(model, data, threads=1)
        assert (judge.loss, judge.of(model)) == ("disagreement", 0.0)
