"""Statistics against plain loops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.timing.statistics import summarise
from tests.naive import timing as naive

TIMES = st.lists(st.floats(1, 1e9), min_size=2, max_size=60)


@given(TIMES)
def test_summary_is_the_oracles(values: list[float]) -> None:
    summary = summarise([values])
    assert summary.n == len(values)
    assert summary.min == min(values)
    for percent, found in ((50, summary.p50), (90, summary.p90), (99, summary.p99)):
        assert found == pytest.approx(naive.percentile(values, percent), rel=1e-9)
    assert summary.mad == pytest.approx(naive.median_absolute_deviation(values), rel=1e-9, abs=1e-6)
    assert summary.mean == pytest.approx(sum(values) / len(values), rel=1e-9)
    assert summary.stdev == pytest.approx(naive.standard_deviation(values), rel=1e-6, abs=1e-4)
    assert summary.per_second == pytest.approx(1e9 * len(values) / sum(values), rel=1e-9)


def test_a_known_series() -> None:
    summary = summarise([[10.0, 20.0], [30.0, 40.0]])
    assert (summary.n, summary.min, summary.p50, summary.mad, summary.mean) == (4, 10.0, 25.0, 10.0, 25.0)
    assert summary.p90 == pytest.approx(37.0)
    assert summary.per_second == pytest.approx(4e7)


def test_one_value_has_no_deviation() -> None:
    summary = summarise([[5.0]])
    assert (summary.n, summary.p50, summary.p99, summary.stdev, summary.mad) == (1, 5.0, 5.0, 0.0, 0.0)
