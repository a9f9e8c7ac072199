"""The trend test against its oracle and against its known distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.timing.stationarity import FEWEST, SIGNIFICANT, is_steady, relative_drift, trend_score
from tests.naive import timing as naive


@given(st.lists(st.integers(0, 8).map(float), min_size=2, max_size=20))
def test_score_is_the_oracles(values: list[float]) -> None:
    assert trend_score(values) == pytest.approx(naive.trend_score(values), abs=1e-12)


def test_score_of_a_known_series() -> None:
    # Ten rising values: S = 45, variance 10 * 9 * 25 / 18 = 125.
    assert trend_score(range(10)) == pytest.approx(44 / np.sqrt(125))
    assert trend_score([5.0] * 10) == 0.0


def test_score_is_standard_normal_without_a_trend() -> None:
    generator = np.random.default_rng(0)
    scores = np.array([trend_score(generator.exponential(size=40)) for _ in range(2000)])
    assert abs(scores.mean()) < 0.07
    assert scores.std() == pytest.approx(1.0, abs=0.06)
    # The continuity correction makes the test a little careful: at most the nominal 5 %.
    assert 0.02 < np.mean(np.abs(scores) > SIGNIFICANT) < 0.06


def test_drift_is_signed_and_relative() -> None:
    assert relative_drift([10.0, 10.0, 8.0, 8.0]) == pytest.approx(-0.2)
    assert relative_drift([10.0, 10.0, 99.0, 12.0, 12.0]) == pytest.approx(0.2)


def test_a_decay_is_not_steady_and_its_end_is() -> None:
    generator = np.random.default_rng(1)
    times = 100 * (1 + np.exp(-np.arange(40) / 6)) * (1 + 0.01 * generator.standard_normal(40))
    assert not is_steady(times[:12])
    assert is_steady(times[-12:])


def test_a_significant_trend_that_is_tiny_is_steady() -> None:
    times = np.linspace(100.0, 100.5, 12)
    assert abs(trend_score(times)) > SIGNIFICANT
    assert is_steady(times)
    assert not is_steady(times, tolerance=0.001)


def test_one_wild_value_does_not_matter() -> None:
    times = [100.0, 101.0, 100.0, 5000.0, 100.5, 101.0, 100.2, 100.7, 99.9, 100.1, 100.4, 100.6]
    assert is_steady(times)


def test_too_few_values_show_nothing() -> None:
    assert not is_steady([1.0] * (FEWEST - 1))
    assert is_steady([1.0] * FEWEST)
