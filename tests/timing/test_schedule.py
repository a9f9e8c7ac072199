"""How often to call: for a call of a nanosecond as well as for one of minutes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebig.timing.schedule import BLOCK_NS, MOST_VALUES, SETTLE_NS, SPIN_NS, VALUE_NS, Schedule, plan_turn


@pytest.mark.parametrize(
    ("call_ns", "expected"),
    [
        (1_000, Schedule(settle=3000, values=25, loops=20)),
        (40_000, Schedule(settle=75, values=25, loops=1)),
        (1_000_000, Schedule(settle=3, values=5, loops=1)),
        (10_000_000, Schedule(settle=1, values=1, loops=1)),
        (10_000_000_000, Schedule(settle=0, values=1, loops=1)),
    ],
)
def test_known_turns(call_ns: float, expected: Schedule) -> None:
    assert plan_turn(call_ns) == expected


def test_spinning_threads_need_longer_to_settle() -> None:
    assert plan_turn(1_000_000, settle_ns=SPIN_NS).settle == 60
    assert plan_turn(500_000_000, settle_ns=SPIN_NS).settle == 1


@given(st.floats(0, 1e12))
def test_every_turn_is_measurable_and_bounded(call_ns: float) -> None:
    turn = plan_turn(call_ns)
    assert turn.loops * max(call_ns, 1.0) >= VALUE_NS * 0.999
    assert 1 <= turn.values <= MOST_VALUES
    assert turn.values == 1 or turn.values * turn.loops * call_ns <= 1.5 * BLOCK_NS
    assert turn.settle * call_ns <= SETTLE_NS + call_ns
