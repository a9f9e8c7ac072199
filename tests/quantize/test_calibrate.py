"""Streaming statistics and the ranges chosen from them, against oracles that see all values at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgebig.errors import InvalidDataError, UnknownNameError
from edgebig.quantize.calibrate import TensorStatistics, calibration_methods
from edgebig.quantize.calibrate.histogram import Histogram
from edgebig.quantize.calibrate.stream import take_in
from tests.naive.quantize_ranges import histogram, squared_error

OPEN = (-np.inf, np.inf)
batches = st.lists(
    hnp.arrays(np.float32, st.integers(0, 20), elements=st.floats(-1e4, 1e4, width=32)), min_size=1, max_size=6
)


def gathered(*arrays: np.ndarray) -> TensorStatistics:
    statistics = TensorStatistics("t")
    for array in arrays:
        statistics.add(array.astype(np.float32))
    return statistics


@settings(deadline=None)
@given(batches)
def test_the_growing_histogram_is_that_of_all_values_at_once(parts: list[np.ndarray]) -> None:
    grown = Histogram(64)
    for part in parts:
        if part.size:
            take_in(part, grown, None)
    counts, exponent = histogram([float(x) for part in parts for x in part], 64)
    assert grown.exponent == exponent
    assert grown.counts.tolist() == counts


def test_growth_by_many_doublings_and_the_order_change_nothing() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal(500).astype(np.float32) * 10.0**k for k in (-6, 0, 3, -2)]
    forward, backward = gathered(*parts), gathered(*reversed(parts))
    assert forward.histogram is not None and backward.histogram is not None
    assert (forward.histogram.counts == backward.histogram.counts).all()
    assert forward.histogram.counts.sum() == 2000
    assert (forward.low, forward.high) == (backward.low, backward.high)


def test_minmax_is_the_extremes_cut_to_what_is_useful() -> None:
    found = gathered(np.array([-5.0, 1.0]), np.array([7.0]))
    choose = calibration_methods.get("minmax").choose
    assert choose(found, *OPEN, 255) == (-5.0, 7.0)
    assert choose(found, -3.0, np.inf, 255) == (-3.0, 7.0)


@pytest.mark.parametrize("name", ["percentile", "mse"])
def test_an_outlier_is_cut_off(name: str) -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal(400_000)
    low, high = calibration_methods.get(name).choose(gathered(values, np.array([20.0])), *OPEN, 255)
    assert -6 < low < -2
    assert 2 < high < 16


@pytest.mark.parametrize("sides", ["both", "positive", "negative"])
def test_mse_finds_a_range_no_worse_than_any_on_a_grid(sides: str) -> None:
    rng = np.random.default_rng(2)
    values = rng.standard_t(3, 3000).astype(np.float32)
    values = {"both": values, "positive": np.abs(values), "negative": -np.abs(values)}[sides]
    low, high = calibration_methods.get("mse").choose(gathered(values), *OPEN, 15)
    best = squared_error(values.tolist(), low, high, 15)
    lows = [values.min() * f for f in np.linspace(0.1, 1, 10)] if sides != "positive" else [0.0]
    highs = [values.max() * f for f in np.linspace(0.1, 1, 10)] if sides != "negative" else [0.0]
    grid = min(squared_error(values.tolist(), float(a), float(b), 15) for a in lows for b in highs)
    assert best <= grid * 1.02


def test_what_readers_clip_is_cut_for_free() -> None:
    values = np.concatenate([np.full(1000, -40.0), np.linspace(-3, 3, 1000)])
    low, high = calibration_methods.get("mse").choose(gathered(values), -3.0, np.inf, 255)
    assert low == pytest.approx(-3.0, abs=0.05)
    assert high == pytest.approx(3.0, abs=0.05)


def test_constant_and_zero_tensors_have_ranges() -> None:
    for name in calibration_methods:
        for value in (0.0, 3.0, -2.0):
            low, high = calibration_methods.get(name).choose(gathered(np.full(10, value)), *OPEN, 255)
            assert min(low, 0) <= value <= max(high, 0) * 1.001 + 1e-9


def test_means_of_channels_stream() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((4, 3, 5, 5)), rng.standard_normal((2, 3, 5, 5))
    statistics = TensorStatistics("t", histogram=None, channel_axis=1)
    statistics.add(a.astype(np.float32))
    statistics.add(b.astype(np.float32))
    assert statistics.means == pytest.approx(np.concatenate([a, b]).mean((0, 2, 3)), abs=1e-6)


def test_nan_in_a_tensor_is_named() -> None:
    with pytest.raises(InvalidDataError, match="tensor 't'"):
        gathered(np.array([1.0, np.nan]))


def test_unknown_methods_list_the_known() -> None:
    with pytest.raises(UnknownNameError, match="minmax"):
        calibration_methods.get("entropie")
