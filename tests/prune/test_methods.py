"""Rankings of blocks: against brute force, and what all methods must hold."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.errors import UnknownNameError
from edgebig.prune.allocation import Candidate, spend
from edgebig.prune.least_squares import dense_optimum
from edgebig.prune.methods import methods
from edgebig.prune.methods.obs import eliminate
from edgebig.prune.moments import Moments, Problem
from edgebig.prune.patterns import Pattern, patterns
from tests.naive.prune_blocks import mask_without
from tests.naive.prune_obs import remove_in_order


def problem_of(inputs: int, outputs: int, seed: int, groups: int = 1) -> tuple[Problem, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(groups, 200, inputs)) @ rng.normal(size=(inputs, inputs))
    weights = rng.normal(size=(groups * outputs, inputs))
    t = np.stack([part @ w.T for part, w in zip(x, np.split(weights, groups), strict=True)])
    moments = Moments(centred=False)
    moments.add(x, t, fold=0)
    return moments.problem(), weights


@settings(max_examples=25, deadline=None)
@given(columns=st.integers(1, 3), blocks=st.integers(1, 5), outputs=st.integers(1, 4), seed=st.integers(0, 999))
def test_elimination_is_that_of_brute_force(columns: int, blocks: int, outputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, ridge = columns * blocks, 0.05
    x = rng.normal(size=(50, inputs)) @ rng.normal(size=(inputs, inputs))
    weights = rng.normal(size=(outputs, inputs))
    t = x @ weights.T + rng.normal(size=(50, outputs))
    inverse, optimum = dense_optimum(x.T @ x / 50, x.T @ t / 50, weights, ridge)
    band = eliminate(optimum, inverse, columns, 0.0, 0.0)
    order, rises = remove_in_order(x, t, weights, columns, ridge, 1)
    assert list(band.order) == order
    np.testing.assert_allclose(band.cost, rises, rtol=1e-6, atol=1e-9)


def test_ranking_once_is_the_first_step_of_elimination(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, weights = problem_of(22, 20, 4)
    pattern = patterns.get("block16x4")
    steps = methods.get("obs")(problem, weights, pattern, 1e-2, 0.0)
    monkeypatch.setattr(sys.modules["edgebig.prune.methods.obs"], "MOST_WORK", 0.0)
    once = methods.get("obs")(problem, weights, pattern, 1e-2, 0.0)
    assert len(steps) == len(once) == 2
    for stepped, ranked in zip(steps, once, strict=True):
        assert stepped.order[0] == ranked.order[0]
        assert stepped.cost[0] == pytest.approx(ranked.cost[0], rel=1e-9)
        assert (np.diff(ranked.cost) >= 0).all()
        # Alone, a block's loss can be made good by others that elimination may have taken already.
        assert ranked.cost.sum() <= stepped.cost.sum()


@pytest.mark.parametrize("name", methods.names())
@pytest.mark.parametrize("pattern", patterns.names())
@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(18, 20, 1), (9, 16, 2), (4, 16, 1), (33, 5, 1)])
@pytest.mark.parametrize("floor", [0.0, 0.3])
def test_every_band_keeps_its_floor(
    name: str, pattern: str, inputs: int, outputs: int, groups: int, floor: float
) -> None:
    problem, weights = problem_of(inputs, outputs, 3, groups)
    shape = patterns.get(pattern)
    ranking = methods.get(name)(problem, weights, shape, 1e-2, floor)
    blocks = shape.blocks(inputs)
    assert len(ranking) == shape.bands(groups * outputs)
    for band in ranking:
        assert len(set(band.order)) == len(band.order) == len(band.cost)
        assert blocks - len(band.order) == max(1, int(np.ceil(blocks * floor)))
        assert (band.cost >= 0).all()
        assert set(band.order) <= set(range(blocks))


@settings(max_examples=30, deadline=None)
@given(outputs=st.integers(1, 40), inputs=st.integers(1, 14), share=st.floats(0.05, 0.9), seed=st.integers(0, 99))
def test_magnitude_takes_the_blocks_of_least_mean_square(outputs: int, inputs: int, share: float, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(outputs, inputs))
    pattern = Pattern("3x2", "", 3, 2, lambda _: None)
    problem = Problem(1, np.eye(inputs)[None], np.zeros((1, inputs, outputs)), np.zeros((1, outputs)))
    ranking = methods.get("magnitude")(problem, weights, pattern, 1e-2, 0.0)
    kept = spend([Candidate(ranking, weights.shape)], pattern, share * weights.size, floor=0.0)[0]
    mask = pattern.expand(kept, outputs, inputs)
    # Met within half a block, from either side: the oracle goes on until there are as many, or stops at all it can.
    oracle = mask_without(weights, 3, 2, int((~mask).sum()))
    assert (mask == oracle).all()


def test_wanda_spares_weights_whose_inputs_are_strong() -> None:
    weights = np.ones((1, 4))
    problem = Problem(9, np.diag([4.0, 1.0, 9.0, 2.0])[None], np.zeros((1, 4, 1)), np.zeros((1, 1)))
    (band,) = methods.get("wanda")(problem, weights, patterns.get("unstructured"), 1e-2, 0.0)
    assert list(band.order) == [1, 3, 0]
    assert list(band.cost) == [1.0, 2.0, 4.0]


def test_constant_inputs_do_no_harm() -> None:
    weights = np.random.default_rng(0).normal(size=(16, 8))
    problem = Problem(9, np.zeros((1, 8, 8)), np.zeros((1, 8, 16)), np.zeros((1, 16)))
    for name in methods:
        (band,) = methods.get(name)(problem, weights, patterns.get("block16x4"), 1e-2, 0.0)
        assert len(band.order) == 1
        assert np.isfinite(band.cost).all()


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="Known: obs, wanda, magnitude"):
        methods.get("taylor")
    with pytest.raises(UnknownNameError, match="Known: block16x4, unstructured"):
        patterns.get("2:4")
