"""The comparison of outputs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edgebig.export.parity import HIGHEST_BAR, Tally, relative_error

RNG = np.random.default_rng(0)


def _add(tally: Tally, wanted: NDArray, found: NDArray, exact: NDArray | None = None) -> Tally:
    tally.add("batch=2", {"y": wanted}, {"y": found}, lambda: None if exact is None else {"y": exact})
    tally.close()
    return tally


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1923.0])
def test_the_error_is_relative_to_the_outputs_scale(scale: float) -> None:
    wanted = RNG.standard_normal(1000).astype(np.float32) * np.float32(scale)
    rms = float(np.sqrt(np.mean(np.square(wanted.astype(np.float64)))))
    found = wanted.copy()
    found[3] += np.float32(0.01 * rms)
    assert relative_error(wanted, found) == pytest.approx(0.01, rel=1e-3)
    tally = _add(Tally(1e-4), wanted, found)
    assert [miss.output for miss in tally.misses] == ["y"]
    assert "off by 0.01 of its scale" in str(tally.misses[0])
    assert not _add(Tally(0.02), wanted, found).misses


def test_the_bar_rises_to_the_modules_own_noise_and_no_further() -> None:
    exact = RNG.standard_normal(1000)
    noise = RNG.uniform(-1, 1, 1000)
    wanted, found = (exact + 1e-3 * noise).astype(np.float32), (exact - 4e-3 * noise).astype(np.float32)
    tally = _add(Tally(1e-4), wanted, found, exact)
    assert not tally.misses
    assert 5e-3 < tally.rows()[0].tolerance < 2e-2  # ten times the noise of 1e-3
    assert _add(Tally(1e-4), wanted, found).misses  # without a double there is only the tolerance
    wild = _add(Tally(1e-4), (exact + noise).astype(np.float32), (exact - noise).astype(np.float32), exact)
    assert wild.rows()[0].tolerance == HIGHEST_BAR
    assert wild.misses


def test_the_double_is_asked_for_only_where_it_matters() -> None:
    def never() -> None:
        raise AssertionError("not needed")

    tally = Tally(1e-4)
    tally.add("batch=1", {"y": np.ones(3, np.float32)}, {"y": np.ones(3, np.float32)}, never)
    assert not tally.misses


def test_half_precision_has_its_own_steps() -> None:
    wanted = np.ones(4, np.float16)
    found = wanted.copy()
    found[0] += np.float16(0.004)
    assert not _add(Tally(1e-4), wanted, found).misses


def test_whole_numbers_and_booleans_must_be_equal() -> None:
    tally = _add(Tally(0.9), np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5]))
    assert "25.0% of its int64 entries differ" in str(tally.misses[0])
    assert _add(Tally(0.9), np.array([True, False]), np.array([True, True])).misses
    assert not _add(Tally(0.9), np.array([1, 2]), np.array([1, 2])).misses


def test_nan_and_infinity_must_stand_in_the_same_places() -> None:
    wanted = np.array([1.0, np.nan, np.inf, -np.inf], np.float32)
    assert not _add(Tally(1e-4), wanted, wanted.copy()).misses
    for index, value in ((0, np.nan), (1, 0.0), (2, -np.inf)):
        found = wanted.copy()
        found[index] = value
        assert "1 of 4 entries are NaN or infinite on one side" in str(_add(Tally(1e-4), wanted, found).misses[0])


def test_other_shapes_and_dtypes_are_named() -> None:
    ones = np.ones((2, 3), np.float32)
    assert "shape [3, 2] from onnxruntime, [2, 3]" in str(_add(Tally(1e-4), ones, ones.T).misses[0])
    assert "dtype float64 from onnxruntime" in str(_add(Tally(1e-4), ones, ones.astype(np.float64)).misses[0])


def test_an_output_that_is_never_finite_proves_nothing() -> None:
    nan = np.full(3, np.nan, np.float32)
    assert "nothing could be compared" in str(_add(Tally(1e-4), nan, nan.copy()).misses[0])
    tally = Tally(1e-4)
    for wanted in (nan, np.ones(3, np.float32)):
        tally.add("run", {"y": wanted}, {"y": wanted.copy()}, lambda: None)
    tally.close()
    assert not tally.misses


def test_the_worst_run_is_reported() -> None:
    tally = Tally(1e-1)
    for at, off in (("batch=1", 1e-3), ("batch=2", 1e-2), ("batch=3", 1e-4)):
        tally.add(at, {"y": np.ones(5)}, {"y": np.ones(5) + off}, lambda: None)
    assert tally.rows()[0].at == "batch=2"
    assert tally.rows()[0].worst_error == pytest.approx(1e-2)


def test_an_output_of_zeros_has_an_absolute_bar() -> None:
    assert not _add(Tally(1e-4), np.zeros(3, np.float32), np.full(3, 5e-5, np.float32)).misses
    assert _add(Tally(1e-4), np.zeros(3, np.float32), np.full(3, 5e-4, np.float32)).misses
