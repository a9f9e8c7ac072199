"""Spending a sparsity over layers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.prune.allocation import Candidate, hull_slopes, spend, zeros_of
from edgebig.prune.patterns import patterns
from edgebig.prune.ranking import Band

BLOCK = patterns.get("block16x4")
SINGLE = patterns.get("unstructured")


def candidate(outputs: int, inputs: int, seed: int, price: float = 1.0, worth: float = 1.0) -> Candidate:
    rng = np.random.default_rng(seed)
    blocks = BLOCK.blocks(inputs)
    bands = tuple(Band(rng.permutation(blocks)[: blocks - 1], rng.random(blocks - 1)) for _ in range(-(-outputs // 16)))
    return Candidate(bands, (outputs, inputs), price, worth)


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(0, 100)), min_size=1, max_size=20))
def test_hull_slopes_rise_and_spend_the_same_in_all(steps: list[tuple[int, float]]) -> None:
    sizes, costs = np.array([s for s, _ in steps], float), np.array([c for _, c in steps])
    slopes = hull_slopes(sizes, costs)
    assert (np.diff(slopes) >= 0).all()
    spent, cost = np.cumsum(slopes * sizes), np.cumsum(costs)
    assert spent[-1] == pytest.approx(cost[-1], rel=1e-6, abs=1e-9)
    assert (spent <= cost * (1 + 1e-6) + 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 40)), min_size=1, max_size=4),
    share=st.floats(0, 1),
    floor=st.floats(0, 0.5),
    seed=st.integers(0, 99),
)
def test_what_goes_is_within_a_block_of_what_was_asked_and_no_band_is_emptied(
    shapes: list[tuple[int, int]], share: float, floor: float, seed: int
) -> None:
    layers = [candidate(*shape, seed + i) for i, shape in enumerate(shapes)]
    total = sum(o * i for o, i in shapes)
    kept = spend(layers, BLOCK, share * total, floor=floor)
    gone = sum(zeros_of(blocks, BLOCK, shape) for blocks, shape in zip(kept, shapes, strict=True))
    most = 0
    for layer, blocks in zip(layers, kept, strict=True):
        count = blocks.shape[1]
        stay = max(1, int(np.ceil(count * floor)))
        assert (blocks.sum(1) >= stay).all()
        sizes = BLOCK.sizes(*layer.shape)
        for number, band in enumerate(layer.ranking):
            allowed = band.order[: count - stay]
            most += int(sizes[number, allowed].sum())
            here = [block for block in band.order if not blocks[number, block]]
            assert here == list(band.order[: len(here)]), "a later block went before an earlier one"
    assert abs(gone - min(share * total, most)) <= 64


def test_the_cheap_layer_pays() -> None:
    cheap, dear = candidate(16, 40, 0, price=1e-3), candidate(16, 40, 0, price=1.0)
    kept = spend([dear, cheap], BLOCK, 9 * 64, floor=0.0)
    assert (~kept[0]).sum() == 0
    assert (~kept[1]).sum() == 9


def test_worth_counts_multiplications() -> None:
    # The same costs per weight, but a weight of the second layer is used four times as often.
    costs = np.ones(7)
    layers = [Candidate((Band(np.arange(7), costs),), (1, 8), 1.0, worth) for worth in (1.0, 4.0)]
    kept = spend(layers, SINGLE, 28.0, floor=0.0)
    assert [int((~blocks).sum()) for blocks in kept] == [0, 7]
