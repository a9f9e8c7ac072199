"""The clock, with clocks that are made up."""

import gc

from edgebig.timing.clock import monotonic, time_calls, without_garbage_collection


class FakeClock:
    """A clock that only a call moves: each call of `work` takes `cost` nanoseconds."""

    def __init__(self, cost: int) -> None:
        self.now, self.cost, self.calls = 1000, cost, 0

    def __call__(self) -> int:
        return self.now

    def work(self) -> None:
        self.calls += 1
        self.now += self.cost


def test_all_calls_are_made_and_counted() -> None:
    clock = FakeClock(cost=7)
    assert time_calls(clock.work, 13, clock) == 91
    assert clock.calls == 13


def test_no_call_takes_no_time() -> None:
    clock = FakeClock(cost=7)
    assert time_calls(clock.work, 0, clock) == 0
    assert clock.calls == 0


def test_the_real_clock_never_goes_back() -> None:
    stamps = [monotonic() for _ in range(1000)]
    assert stamps == sorted(stamps)
    assert all(isinstance(stamp, int) for stamp in stamps)


def test_collection_is_off_inside_and_restored() -> None:
    assert gc.isenabled()
    with without_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collection_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with without_garbage_collection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
