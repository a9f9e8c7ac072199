"""Warm-up on callables whose times are made up."""

from collections.abc import Callable

import numpy as np
import pytest

from edgebig.timing.warmup import POINT_NS, WINDOW, warm_up, warm_up_calls


class Machine:
    """A machine whose n-th call takes `cost(n)` nanoseconds."""

    def __init__(self, cost: Callable[[int], float]) -> None:
        self.now, self.cost, self.calls = 0, cost, 0

    def clock(self) -> int:
        return self.now

    def call(self) -> None:
        self.now += round(self.cost(self.calls))
        self.calls += 1


def test_a_steady_callable_ends_after_one_window() -> None:
    machine = Machine(lambda _: 1_000_000)
    result = warm_up(machine.call, clock=machine.clock)
    assert result.steady is True
    assert result.call_ns == 1_000_000
    assert result.calls == machine.calls == WINDOW * POINT_NS // 1_000_000


def test_warm_up_outlasts_a_slow_start() -> None:
    noise = np.random.default_rng(0).standard_normal(100_000)
    machine = Machine(lambda n: 1e6 * (1 + 2 * np.exp(-n / 60)) * (1 + 0.01 * noise[n]))
    result = warm_up(machine.call, clock=machine.clock)
    assert result.steady is True
    assert result.calls > 150  # exp(-150 / 60) is still 8 %
    assert result.call_ns == pytest.approx(1e6, rel=0.05)


def test_warm_up_gives_up_at_its_limit_and_says_so() -> None:
    machine = Machine(lambda n: 1_000_000 * 1.01**n)
    result = warm_up(machine.call, limit_ns=100_000_000, clock=machine.clock)
    assert result.steady is False
    assert machine.now < 150_000_000


def test_a_long_call_is_made_once() -> None:
    machine = Machine(lambda _: 10_000_000_000)
    result = warm_up(machine.call, clock=machine.clock)
    assert (result.calls, result.steady, result.call_ns) == (1, False, 1e10)


@pytest.mark.parametrize("calls", [0, 1, 20])
def test_a_given_number_of_calls_is_made_plus_one_point(calls: int) -> None:
    machine = Machine(lambda _: 2_000_000)
    result = warm_up_calls(machine.call, calls, clock=machine.clock)
    assert result.calls == machine.calls == calls + 3  # 3 calls of 2 ms make a point of 5 ms
    assert result.steady is None
    assert result.call_ns == 2_000_000
