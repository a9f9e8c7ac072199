"""The comparison: its arithmetic against loops, its interval against made-up machines whose truth is known."""

import numpy as np
import pytest

from edgebig.timing.comparison import (
    FASTER,
    FEWEST_ROUNDS,
    INDIFFERENCE,
    NO_DIFFERENCE,
    RESAMPLES,
    SLOWER,
    compare_rounds,
    judge,
    resampled_medians,
)
from tests.naive import timing as naive


def noisy_rounds(speedup: float, seed: int, rounds: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Two callables on a machine whose speed jumps by half from time to time, with 2 % noise of their own."""
    generator = np.random.default_rng(seed)
    machine = np.where(np.repeat(generator.random(rounds // 5) < 0.3, 5), 1.5, 1.0)[:, None]
    noise = 1 + 0.02 * generator.standard_normal((2, rounds, 1)) + 0.05 * generator.exponential(size=(2, rounds, 9))
    return 1000 * machine * noise[0], 1000 / speedup * machine * noise[1]


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_resampled_medians_are_the_oracles(count: int) -> None:
    values = np.random.default_rng(3).exponential(size=count)
    draws = np.random.default_rng(7).integers(0, count, (RESAMPLES, count))
    found = resampled_medians(values, np.random.default_rng(7))
    assert found.shape == (RESAMPLES,)
    np.testing.assert_allclose(found, naive.medians_of_draws(values.tolist(), draws.tolist()), rtol=1e-12)


def test_many_rounds_are_drawn_in_parts_of_the_same_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).exponential(size=20)
    whole = resampled_medians(values, np.random.default_rng(1))
    monkeypatch.setattr("edgebig.timing.comparison._CHUNK", 700)
    np.testing.assert_array_equal(resampled_medians(values, np.random.default_rng(1)), whole)


def test_speedup_is_the_median_of_the_rounds_ratios() -> None:
    reference = [[10.0, 12.0, 11.0], [22.0, 22.0, 90.0], [30.0, 33.0, 36.0]]
    other = [[5.5], [11.0], [11.0]]
    found = compare_rounds(reference, other)
    assert found.speedup == pytest.approx(2.0)  # of 2, 2 and 3
    assert (found.low, found.high) == pytest.approx((2.0, 3.0))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = [
        found.low <= 1.25 <= found.high
        for seed in range(200)
        for found in [compare_rounds(*noisy_rounds(1.25, seed), seed=seed)]
    ]
    assert np.mean(held) >= 0.97  # stated: 99 %


def test_equal_callables_are_not_called_different() -> None:
    verdicts = [compare_rounds(*noisy_rounds(1.0, seed)).verdict for seed in range(200)]
    assert verdicts.count(NO_DIFFERENCE) >= 196


@pytest.mark.parametrize(("speedup", "verdict"), [(1.03, FASTER), (1 / 1.03, SLOWER)])
def test_three_percent_are_found_on_a_machine_that_jumps_by_fifty(speedup: float, verdict: str) -> None:
    verdicts = [compare_rounds(*noisy_rounds(speedup, seed)).verdict for seed in range(100)]
    assert verdicts.count(verdict) >= 90


def test_verdicts() -> None:
    many = FEWEST_ROUNDS
    assert judge(1.02, 1.05, many) == FASTER
    assert judge(0.90, 0.98, many) == SLOWER
    assert judge(0.99, 1.05, many) == NO_DIFFERENCE
    assert judge(1 + INDIFFERENCE / 2, 1.02, many) == NO_DIFFERENCE
    assert judge(0.98, 1 - INDIFFERENCE / 2, many) == NO_DIFFERENCE
    assert judge(2.0, 2.1, many - 1) == NO_DIFFERENCE


def test_the_same_seed_gives_the_same_interval() -> None:
    pair = noisy_rounds(1.1, 5)
    assert compare_rounds(*pair, seed=4) == compare_rounds(*pair, seed=4)
    assert compare_rounds(*pair, seed=4) != compare_rounds(*pair, seed=5)
