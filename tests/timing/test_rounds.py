"""Interleaved rounds with a clock that only the callables move."""

import pytest

from edgebig.timing.rounds import FEWEST_ROUNDS, measure_rounds
from edgebig.timing.schedule import Schedule


class Bench:
    """Callables of fixed cost on one made-up clock; keeps who was called."""

    def __init__(self, *costs: int) -> None:
        self.now, self.log, self.costs = 0, "", costs

    def clock(self) -> int:
        return self.now

    def call(self, index: int) -> None:
        self.now += self.costs[index]
        self.log += "abc"[index]

    def runs(self) -> list:
        return [lambda i=i: self.call(i) for i in range(len(self.costs))]


def test_values_are_nanoseconds_per_call() -> None:
    bench = Bench(300, 70)
    schedules = [Schedule(settle=1, values=4, loops=1), Schedule(settle=2, values=3, loops=5)]
    a, b = measure_rounds(bench.runs(), schedules, rounds=6, budget_ns=10**9, clock=bench.clock)
    assert a.shape == (6, 4)
    assert b.shape == (6, 3)
    assert (a == 300).all()
    assert (b == 70).all()
    assert bench.log.count("a") == 6 * (1 + 4)
    assert bench.log.count("b") == 6 * (2 + 15)


def test_settling_calls_are_not_measured() -> None:
    bench = Bench(0)
    costs = iter([1000, 1000, 10, 10, 10] * 3)

    def run() -> None:
        bench.now += next(costs)

    (values,) = measure_rounds([run], [Schedule(2, 3, 1)], rounds=3, budget_ns=10**9, clock=bench.clock)
    assert (values == 10).all()


def test_order_changes_and_is_the_seeds() -> None:
    def order(seed: int) -> str:
        bench = Bench(1, 1, 1)
        measure_rounds(bench.runs(), [Schedule(0, 1, 1)] * 3, rounds=40, budget_ns=10**9, seed=seed, clock=bench.clock)
        return bench.log

    first = order(0)
    rounds = [first[i : i + 3] for i in range(0, 120, 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in rounds)
    assert len(set(rounds)) == 6  # every order occurs in 40 rounds
    assert order(0) == first
    assert order(1) != first


def test_budget_ends_the_rounds_but_not_before_the_fewest() -> None:
    for budget, expected in [(0, FEWEST_ROUNDS), (1000, 10), (10**9, 50)]:
        bench = Bench(60, 40)
        a, _ = measure_rounds(bench.runs(), [Schedule(0, 1, 1)] * 2, rounds=50, budget_ns=budget, clock=bench.clock)
        assert len(a) == expected


def test_fewer_rounds_than_the_fewest_are_allowed_when_asked_for() -> None:
    bench = Bench(5)
    (values,) = measure_rounds(bench.runs(), [Schedule(0, 1, 1)], rounds=1, budget_ns=10**9, clock=bench.clock)
    assert values.shape == (1, 1)


def test_an_error_in_a_callable_passes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        measure_rounds([lambda: 1 // 0], [Schedule(0, 1, 1)], rounds=3, budget_ns=1)
