"""AdaRound: against all roundings of a small layer and the nearest, and within the rules of integers."""

import itertools

import numpy as np
import pytest

from edgebig.quantize.algorithms.adaround import Descent, _slope, learn_rounding, movable
from edgebig.quantize.algorithms.rounding import output_error
from edgebig.quantize.weight_search_kernel import ANY_TWO, NEIGHBOURS, NO_PAIRS
from tests.quantize.build import normal

QUICK = Descent(steps=200)


def correlated(groups: int, inputs: int) -> np.ndarray:
    x = normal(groups, 400, inputs // 4 + 1) @ normal(groups, inputs // 4 + 1, inputs, seed=1)
    x = x + 0.1 * normal(groups, 400, inputs, seed=2)
    return (x.transpose(0, 2, 1) @ x).astype(np.float64) / 400


def nearest(weight: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.rint(weight / scales[:, :, None]).astype(np.int8)


@pytest.mark.parametrize("pairs", [NO_PAIRS, NEIGHBOURS, ANY_TWO])
@pytest.mark.parametrize("inputs", [9, 32])
def test_it_errs_less_than_the_nearest_and_moves_by_less_than_a_step(inputs: int, pairs: int) -> None:
    weight, inner = normal(2, 6, inputs, seed=3).astype(np.float64), correlated(2, inputs)
    scales = np.full((2, 6), np.abs(weight).max() / 60)
    start = nearest(weight, scales)
    found = learn_rounding(weight, inner, scales, start, limit=127, pairs=pairs, descent=QUICK)
    share = output_error(weight, found, scales, inner) / output_error(weight, start, scales, inner)
    assert share < (0.8 if inputs == 9 else 0.5)  # few inputs leave little to choose from
    assert np.abs(found * scales[:, :, None] - weight).max() < scales.max()


def test_of_all_roundings_of_a_small_layer_it_finds_a_good_one() -> None:
    weight, inner = normal(1, 1, 8, seed=5).astype(np.float64), correlated(1, 8)
    scales = np.array([[0.5]])
    below = np.floor(weight / 0.5)
    errors = sorted(
        output_error(weight, (below + np.array(ups)).astype(np.int8), scales, inner)
        for ups in itertools.product((0, 1), repeat=8)
    )
    found = learn_rounding(weight, inner, scales, nearest(weight, scales), limit=127, pairs=NO_PAIRS, descent=QUICK)
    assert output_error(weight, found, scales, inner) <= errors[25]  # of 256


def test_the_slope_is_that_of_the_loss() -> None:
    weight, inner = normal(1, 2, 5).astype(np.float32), correlated(1, 5).astype(np.float32)
    steps, unit = np.full((1, 2, 1), 0.3, np.float32), np.full((1, 2, 1), 0.7, np.float32)
    base, v = np.floor(weight / steps), normal(1, 2, 5, seed=9)
    progress = 0.6  # both terms are at work

    def loss(point: np.ndarray) -> float:
        h = np.clip(1.2 / (1 + np.exp(-point.astype(np.float64))) - 0.1, 0, 1)
        beta = 2 + 9 * (1 + np.cos((progress - 0.2) / 0.8 * np.pi))
        difference = (base + h) * steps - weight
        fit = ((difference @ inner) * difference).sum(axis=2, keepdims=True) / unit
        return float(fit.sum() + 0.01 * (1 - np.abs(2 * h - 1) ** beta).sum())

    slope = _slope(v, base, steps, weight, inner, unit, progress)
    for index in np.ndindex(v.shape):
        step = np.zeros_like(v)
        step[index] = 1e-3
        assert slope[index] == pytest.approx((loss(v + step) - loss(v - step)) / 2e-3, rel=2e-2, abs=2e-3)


def test_what_the_rules_forbid_does_not_move() -> None:
    below = np.array([[[63.2, 64.2, 3.1, -5.5, 126.5, 0.2]]])
    start = np.rint(below).astype(np.int8)
    low = np.floor(below)
    assert movable(low, start, limit=127, pairs=NO_PAIRS).tolist() == [[[True] * 6]]
    assert movable(low, start, limit=127, pairs=NEIGHBOURS).tolist() == [[[False, False, True, True, True, True]]]
    assert not movable(low, start, limit=127, pairs=ANY_TWO).any()
    assert movable(low, start, limit=126, pairs=NO_PAIRS).tolist() == [[[True, True, True, True, False, True]]]
    moved = start.copy()
    moved[0, 0, 2] = 50  # an algorithm before put it elsewhere
    assert not movable(low, moved, limit=127, pairs=NO_PAIRS)[0, 0, 2]


def test_a_layer_that_takes_too_long_keeps_its_integers() -> None:
    weight, scales = normal(1, 2, 6).astype(np.float64), np.full((1, 2), 0.1)
    start = nearest(weight, scales)
    slow = Descent(steps=10, seconds=-1.0)
    assert learn_rounding(weight, correlated(1, 6), scales, start, limit=127, pairs=NO_PAIRS, descent=slow) is start
