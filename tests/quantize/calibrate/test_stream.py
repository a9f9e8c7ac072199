"""One walk over a tensor against NumPy: extremes and moments of channels, counts, and what is not a number."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.errors import InvalidDataError
from edgebig.quantize.calibrate import statistics as statistics_module
from edgebig.quantize.calibrate.histogram import Histogram
from edgebig.quantize.calibrate.statistics import TensorStatistics
from edgebig.quantize.calibrate.stream import take_in
from tests.naive.quantize_ranges import histogram

# (shape, axis): long rows with a rest, rows of a few values, channels side by side, one channel, one value.
LAYOUTS = [
    ((2, 3, 5000), 1),
    ((2, 70, 49), 1),
    ((3, 5, 7, 2), 2),
    ((300, 33), -1),
    ((1, 9000), -1),
    ((4, 17), 0),
    ((5, 1, 3), 1),
    ((1,), 0),
    ((6000,), None),
]


@pytest.mark.parametrize(("shape", "axis"), LAYOUTS)
@pytest.mark.parametrize("sign", ["both", "positive", "negative"])
def test_extremes_moments_and_counts_are_numpys(shape: tuple[int, ...], axis: int | None, sign: str) -> None:
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    values = {"both": values, "positive": np.abs(values), "negative": -np.abs(values)}[sign]
    counted = Histogram(64)
    found = take_in(values, counted, axis)
    assert found is not None
    rows = values.reshape(1, -1) if axis is None else np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    assert np.array_equal(found.low, rows.min(1)) and np.array_equal(found.high, rows.max(1))
    assert found.sums / found.count == pytest.approx(rows.astype(np.float64).mean(1), rel=1e-9, abs=1e-12)
    assert found.squares / found.count == pytest.approx(np.square(rows, dtype=np.float64).mean(1), rel=1e-9)
    assert found.count == rows.shape[1]
    counts, exponent = histogram(values.ravel().tolist(), 64)
    assert (counted.counts.tolist(), counted.exponent) == (counts, exponent)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_any_finite_number_is_counted_where_it_belongs(numbers: list[float]) -> None:
    values = np.array(numbers, np.float32)
    counted = Histogram(64)
    found = take_in(values, counted, None)
    assert found is not None
    assert (found.low[0], found.high[0]) == (values.min(), values.max())
    counts, exponent = histogram([float(x) for x in values], 64)
    assert (counted.counts.tolist(), counted.exponent) == (counts, exponent)


def test_a_range_that_grows_in_the_middle_of_a_tensor_loses_no_count() -> None:
    values = np.ones((3, 10_000), np.float32)
    values[1, 5000:], values[2, 9000:] = 300.0, -1e6
    counted = Histogram(64)
    take_in(values, counted, 0)
    counts, exponent = histogram(values.ravel().tolist(), 64)
    assert (counted.counts.tolist(), counted.exponent) == (counts, exponent)


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("shape", "axis"), LAYOUTS)
@pytest.mark.parametrize("counting", [True, False])
def test_what_is_not_finite_is_found(shape: tuple[int, ...], axis: int | None, bad: float, counting: bool) -> None:
    values = np.ones(shape, np.float32)
    values.reshape(-1)[-1] = bad
    assert take_in(values, Histogram(64) if counting else None, axis) is None


def test_large_tensors_are_counted_in_part_and_their_extremes_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics_module, "COUNT_ALL", 100_000)
    rng = np.random.default_rng(1)
    part, full = TensorStatistics("t"), TensorStatistics("t", histogram=None)
    for _ in range(10):
        values = rng.standard_normal((4, 100_000)).astype(np.float32)
        part.add(values)
        full.add(values)
    assert (part.low, part.high) == (full.low, full.high)
    assert part.histogram is not None
    assert part.histogram.counts.sum() == pytest.approx(4_000_000, rel=0.1)
    assert part.histogram.counts.sum() != 4_000_000  # else nothing was left out
    centres, counts = part.histogram.centres(), part.histogram.counts
    assert np.sqrt((centres**2 * counts).sum() / counts.sum()) == pytest.approx(1.0, rel=0.01)


def test_channels_whose_number_changes_are_forgotten() -> None:
    found = TensorStatistics("t", channel_axis=-1)
    found.add(np.ones((2, 3)))
    found.add(np.full((2, 4), 5.0))
    found.add(np.ones((2, 3)))
    assert found.channels is None and found.high == 5.0
    with pytest.raises(ValueError, match="tensor 't'"):
        found.means  # noqa: B018


def test_other_dtypes_scalars_and_empty_batches_are_taken_in() -> None:
    found = TensorStatistics("t", channel_axis=1)
    found.add(np.zeros((0, 4), np.float32))
    assert not found.seen and found.feeds == 1
    found.add(np.array([[1, -2]], np.int64))
    found.add(np.array([[0.5, 3]], np.float16))
    assert found.channel_low.tolist() == [0.5, -2] and found.channel_high.tolist() == [1, 3]
    assert found.mean_squares.tolist() == [(1 + 0.25) / 2, (4 + 9) / 2]
    found.add(np.float32(9))
    assert found.high == 9 and found.channels is None


def test_channels_of_zeros_have_zero_ranges() -> None:
    found = TensorStatistics("t", channel_axis=1)
    values = np.ones((2, 3, 40), np.float32)
    values[:, 1] = 0
    found.add(values)
    assert found.channel_low.tolist() == found.channel_high.tolist() == [1, 0, 1]


def test_threads_fill_different_tensors_at_once() -> None:
    arrays = [np.random.default_rng(i).standard_normal((20, 5000)).astype(np.float32) for i in range(16)]
    alone, together = ([TensorStatistics(str(i), channel_axis=0) for i in range(16)] for _ in range(2))
    for found, array in zip(alone, arrays, strict=True):
        found.add(array)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda pair: pair[0].add(pair[1]), zip(together, arrays, strict=True)))
    for one, other in zip(alone, together, strict=True):
        assert one.histogram is not None and other.histogram is not None
        assert np.array_equal(one.histogram.counts, other.histogram.counts)
        assert np.array_equal(one.means, other.means)


def test_the_tensor_with_nan_is_named() -> None:
    with pytest.raises(InvalidDataError, match="tensor 'logits'"):
        TensorStatistics("logits").add(np.array([1.0, np.inf]))
