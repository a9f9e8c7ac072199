"""Buffers alive at the same time never overlap, and memory is shared otherwise."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st

from edgebig.runtime.arena import ALIGN, plan_arena
from edgebig.runtime.plan import Buffer, Place, PlannedStep


@dataclass(frozen=True)
class Nothing:
    """A kernel that is never built."""

    operands: ClassVar[tuple[str, ...]] = ()
    tasks: int = 1

    def build(self) -> None:
        raise AssertionError("not to be built")


def step(*buffers: Buffer) -> PlannedStep:
    return PlannedStep(Nothing(), buffers, (0,) * len(buffers), (), ())  # type: ignore[arg-type]


def test_a_chain_needs_two_buffers_at_a_time() -> None:
    chain = [Buffer(1000) for _ in range(6)]
    arena = plan_arena([step(a, b) for a, b in pairwise(chain)])
    assert arena.bytes == 2 * 1024


def test_inputs_outputs_and_constants_are_not_in_the_arena() -> None:
    outside = [Buffer(64, place) for place in (Place.INPUT, Place.OUTPUT, Place.CONSTANT)]
    inner = Buffer(10)
    arena = plan_arena([step(*outside, inner)])
    assert dict(arena.offsets) == {inner: 0}
    assert arena.bytes == ALIGN


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=14))
@settings(max_examples=200, deadline=None)
def test_buffers_alive_together_do_not_overlap(lives: list[tuple[int, int, int]]) -> None:
    buffers = [(Buffer(size), min(a, b), max(a, b)) for size, a, b in lives]
    steps = [step(*(buffer for buffer, first, last in buffers if t in (first, last))) for t in range(10)]
    arena = plan_arena(steps)
    for i, (a, first, last) in enumerate(buffers):
        start = arena.offsets[a]
        assert start % ALIGN == 0
        assert start + a.bytes <= arena.bytes
        for b, other_first, other_last in buffers[:i]:
            if first <= other_last and other_first <= last:
                other = arena.offsets[b]
                assert start + a.bytes <= other or other + b.bytes <= start
