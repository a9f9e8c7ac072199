"""What the models are fed: sizes of dynamic axes, random values, samples."""

from pathlib import Path

import numpy as np
import pytest

from edgebig.bench.inputs import has_random_integers, make_feed
from edgebig.data.feeds import InputSpec
from edgebig.errors import InvalidDataError, UsageError
from edgebig.records.measurement import BenchOptions


def spec(name: str, dtype: str, *shape: int | str | None) -> InputSpec:
    return InputSpec(name, np.dtype(dtype), shape)


IMAGE = spec("image", "float32", "batch", 3, "height", "width")


def test_a_dynamic_first_axis_is_one_by_default() -> None:
    feed, source = make_feed([spec("x", "float32", "batch", 4)], None, BenchOptions())
    assert feed["x"].shape == (1, 4)
    assert feed["x"].dtype == np.float32
    assert source == "random values, seed 0"


def test_sizes_are_given_by_name_and_hold_wherever_the_name_stands() -> None:
    specs = [IMAGE, spec("state", "float16", 2, "batch", "height")]
    feed, _ = make_feed(specs, None, BenchOptions(batch=5, dims={"height": 7, "width": 9}))
    assert feed["image"].shape == (5, 3, 7, 9)
    assert feed["state"].shape == (2, 5, 7)


def test_an_axis_without_a_name_is_given_by_its_place() -> None:
    feed, _ = make_feed([spec("x", "float32", None, None)], None, BenchOptions(dims={"x:1": 6}))
    assert feed["x"].shape == (1, 6)


def test_dim_wins_over_batch() -> None:
    feed, _ = make_feed([spec("x", "float32", "n", 2)], None, BenchOptions(batch=3, dims={"n": 8}))
    assert feed["x"].shape == (8, 2)


def test_axes_without_a_size_are_named_with_the_option_that_helps() -> None:
    with pytest.raises(UsageError, match=r"--dim height=SIZE --dim width=SIZE, or --data"):
        make_feed([IMAGE], None, BenchOptions())


def test_an_unknown_axis_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no dynamic axis 'heigth'\. Dynamic axes: batch, height, width"):
        make_feed([IMAGE], None, BenchOptions(dims={"heigth": 3}))


def test_an_unknown_rank_needs_samples() -> None:
    with pytest.raises(UsageError, match="rank of 'x'"):
        make_feed([InputSpec("x", np.dtype("float32"), None)], None, BenchOptions())


def test_a_batch_that_is_fixed_cannot_be_changed() -> None:
    fixed = [spec("x", "float32", 8, 2)]
    assert make_feed(fixed, None, BenchOptions(batch=8))[0]["x"].shape == (8, 2)
    assert make_feed(fixed, None, BenchOptions())[0]["x"].shape == (8, 2)
    with pytest.raises(UsageError, match="batch 4 does not fit"):
        make_feed(fixed, None, BenchOptions(batch=4))


def test_sizes_beyond_memory_are_an_error_in_words() -> None:
    with pytest.raises(UsageError, match="Give smaller sizes"):
        make_feed([spec("x", "float32", "n", 1 << 20)], None, BenchOptions(batch=1 << 40))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "uint8", "int8", "bool"])
def test_random_values_are_safe_and_seeded(dtype: str) -> None:
    specs = [spec("x", dtype, 40, 50)]
    first, again = (make_feed(specs, None, BenchOptions(seed=3))[0]["x"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (make_feed(specs, None, BenchOptions(seed=4))[0]["x"] != first).any()
    assert first.dtype == np.dtype(dtype)
    if dtype in ("int64", "int32"):
        assert set(np.unique(first)) == {0, 1}  # any table of indices has these
    if dtype in ("uint8", "int8"):
        assert (first.min(), first.max()) == (np.iinfo(dtype).min, np.iinfo(dtype).max)
    assert has_random_integers(specs, None) == (first.dtype.kind in "iu")
    assert not has_random_integers(specs, {"x": first})


def test_strings_are_refused() -> None:
    with pytest.raises(UsageError, match="takes strings"):
        make_feed([spec("x", "object", 2)], None, BenchOptions())


def test_samples_give_their_first_feed_as_a_copy(tmp_path: Path) -> None:
    samples = np.arange(24, dtype=np.float32).reshape(8, 3)
    np.save(tmp_path / "s.npy", samples)
    specs = [spec("x", "float32", "batch", 3)]
    feed, source = make_feed(specs, tmp_path / "s.npy", BenchOptions())
    np.testing.assert_array_equal(feed["x"], samples[:1])
    assert source == "first feed of s.npy"
    assert type(feed["x"]) is np.ndarray
    assert feed["x"].flags.owndata
    batch, _ = make_feed(specs, {"x": samples}, BenchOptions(batch=4))
    np.testing.assert_array_equal(batch["x"], samples[:4])


def test_samples_of_another_size_than_asked_for_are_refused() -> None:
    feeds = [{"x": np.zeros((2, 3), np.float32)}]
    with pytest.raises(InvalidDataError, match=r"shape \(2, 3\), but 4 was asked for axis 0"):
        make_feed([spec("x", "float32", "batch", 3)], feeds, BenchOptions(batch=4))
    with pytest.raises(InvalidDataError, match="but 9 was asked for"):
        make_feed([spec("x", "float32", "batch", 3)], {"x": np.zeros((2, 3), np.float32)}, BenchOptions(batch=9))
