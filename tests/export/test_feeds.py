"""Inputs out of options and samples, and feeds of any size."""

from pathlib import Path

import numpy as np
import pytest

from edgebig.errors import InvalidDataError, UsageError
from edgebig.export.feeds import negated, open_feeds
from edgebig.export.input_specs import Inputs, inputs_from_options
from edgebig.records.export import ExportOptions


def _shapes(inputs: Inputs) -> dict[str, tuple[int | str | None, ...] | None]:
    return {spec.name: spec.shape for spec in inputs.specs}


def _sizes(inputs: Inputs) -> dict[str, int]:
    return {name: axis.size for name, axis in inputs.axes.items()}


def test_described_inputs() -> None:
    options = ExportOptions(inputs=("x:float32:?x3x?", "n:int64:"), dynamic=("x:2=width",))
    inputs = inputs_from_options(options)
    assert _shapes(inputs) == {"x": ("batch", 3, "width"), "n": ()}
    assert _sizes(inputs) == {"batch": 2, "width": 7}
    feed = open_feeds(inputs, options).example()
    assert feed["x"].shape == (2, 3, 7)
    assert feed["x"].dtype == np.float32
    assert feed["n"].shape == ()


def test_unnamed_axes_at_one_place_are_one_axis() -> None:
    inputs = inputs_from_options(ExportOptions(inputs=("ids:int64:?x?", "mask:int64:?x?", "image:float32:?x3x?x?")))
    assert _shapes(inputs)["ids"] == _shapes(inputs)["mask"] == ("batch", "axis1")
    assert _sizes(inputs) == {"batch": 2, "axis1": 7, "axis2": 5, "axis3": 11}


def test_axes_of_one_name_have_one_size_of_at_least_two() -> None:
    inputs = inputs_from_options(
        ExportOptions(inputs=("a:float32:1x4", "b:float32:?x4"), dynamic=("a:0=n", "b:-2=n", "b:1=w"))
    )
    assert _shapes(inputs) == {"a": ("n", 4), "b": ("n", "w")}
    assert _sizes(inputs) == {"n": 2, "w": 4}
    with pytest.raises(UsageError, match="axis 'n' is 3 in 'a' but 4 in 'b'"):
        inputs_from_options(ExportOptions(inputs=("a:float32:3", "b:float32:4"), dynamic=("a:0=n", "b:0=n")))


def test_a_sample_has_its_samples_on_axis_0(sentences: Path) -> None:
    dynamic = ("ids:0=batch", "mask:0=batch", "ids:1=length", "mask:1=length")
    options = ExportOptions(sample=str(sentences), dynamic=dynamic, samples=10)
    inputs = inputs_from_options(options)
    assert _shapes(inputs) == {"mask": ("batch", "length"), "ids": ("batch", "length")}
    assert _sizes(inputs) == {"batch": 2, "length": 9}
    feeds = open_feeds(inputs, options)
    with np.load(sentences) as arrays:
        np.testing.assert_array_equal(feeds.example()["ids"], arrays["ids"][:2])
        longer = feeds.of_sizes({"batch": 2, "length": 20})["ids"]
        np.testing.assert_array_equal(longer[:, 9:18], arrays["ids"][:2])
    assert [count for count, _ in feeds.real(10)] == [8, 4]  # whole feeds, until the limit is reached


def test_a_sample_without_dynamic_batch_is_taken_one_at_a_time(sentences: Path) -> None:
    options = ExportOptions(sample=str(sentences))
    inputs = inputs_from_options(options)
    assert _shapes(inputs) == {"mask": (1, 9), "ids": (1, 9)}
    assert sum(count for count, _ in open_feeds(inputs, options).real(5)) == 5


def test_a_folder_holds_one_feed_in_each_file(tmp_path: Path) -> None:
    for index, length in enumerate((5, 3)):
        np.savez(tmp_path / f"{index}.npz", x=np.ones((1, length), np.float32))
    options = ExportOptions(sample=str(tmp_path), dynamic=("x:1=length",))
    inputs = inputs_from_options(options)
    assert _shapes(inputs) == {"x": (1, "length")}
    assert _sizes(inputs) == {"length": 5}
    assert [feed["x"].shape for _, feed in open_feeds(inputs, options).real(9)] == [(1, 5), (1, 3)]


def test_shapes_from_the_description_and_values_from_the_sample(sentences: Path) -> None:
    options = ExportOptions(sample=str(sentences), inputs=("ids:int64:4x9", "mask:int64:4x9"))
    feed = open_feeds(inputs_from_options(options), options).example()
    with np.load(sentences) as arrays:
        np.testing.assert_array_equal(feed["mask"], arrays["mask"][:4])


def test_random_values_keep_their_range_and_differ_between_sizes() -> None:
    options = ExportOptions(inputs=("ids:int64:?:5..9", "x:float32:?:-2..-1", "m:bool:?", "i:int32:?", "b:uint8:?"))
    inputs = inputs_from_options(options)
    feeds = open_feeds(inputs, options)
    feed, other = feeds.of_sizes({"batch": 400}), feeds.of_sizes({"batch": 401})
    assert set(feed["ids"]) == {5, 6, 7, 8, 9}
    assert -2 <= feed["x"].min() < feed["x"].max() <= -1
    assert set(feed["i"]) == {0, 1}
    assert feed["m"].dtype == np.bool_
    assert feed["b"].max() > 200
    assert not np.array_equal(feed["x"], other["x"][:400])
    np.testing.assert_array_equal(feed["x"], feeds.of_sizes({"batch": 400})["x"])


def test_only_real_numbers_are_negated() -> None:
    feed = negated({"x": np.ones(2, np.float32), "ids": np.ones(2, np.int64)})
    assert feed["x"].tolist() == [-1, -1]
    assert feed["ids"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give a sample .*or describe each with --input"),
        ({"inputs": ("x:float32:2x3",), "dynamic": ("y:0=n",)}, "unknown input 'y'. Inputs: x"),
        ({"inputs": ("x:float32:2x3",), "dynamic": ("x:2=n",)}, "'x' has 2 axes, so it has no axis 2"),
        ({"sample": "samples.txt"}, "give an .npz"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        inputs_from_options(ExportOptions(**options))  # type: ignore[arg-type]


def test_unusable_samples_are_refused(tmp_path: Path, sentences: Path) -> None:
    with pytest.raises(InvalidDataError, match="do not exist"):
        inputs_from_options(ExportOptions(sample=str(tmp_path / "none.npz")))
    (tmp_path / "cut.npz").write_bytes(sentences.read_bytes()[:100])
    with pytest.raises(InvalidDataError, match="cannot be read"):
        inputs_from_options(ExportOptions(sample=str(tmp_path / "cut.npz")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidDataError, match=r"holds no .npz files"):
        inputs_from_options(ExportOptions(sample=str(tmp_path / "empty")))
    np.savez(tmp_path / "nan.npz", x=np.full((2, 3), np.nan, np.float32))
    options = ExportOptions(sample=str(tmp_path / "nan.npz"))
    with pytest.raises(InvalidDataError, match="NaN"):
        open_feeds(inputs_from_options(options), options)
