"""Warm-up: call until the times are steady, within a limit."""

from dataclasses import dataclass

import numpy as np

from edgebig.timing.clock import Clock, Run, monotonic, time_calls
from edgebig.timing.stationarity import is_steady

# One point of the series spans at least this time, so that a window outlasts a change of the processor's clock.
POINT_NS = 5_000_000
WINDOW = 12
LIMIT_NS = 2_000_000_000


@dataclass(frozen=True)
class WarmUp:
    """What a warm-up did.

    Attributes:
        calls: How many calls were made.
        steady: Whether the last times were steady; None where that was not asked for.
        call_ns: What a call took at the end, in nanoseconds (median of the last points).
    """

    calls: int
    steady: bool | None
    call_ns: float


def warm_up(run: Run, *, limit_ns: int = LIMIT_NS, clock: Clock = monotonic) -> WarmUp:
    """Call `run` until the last `WINDOW` points show no trend, or `limit_ns` nanoseconds are over.

    A point is the median time of a call over `POINT_NS` nanoseconds of calls, or one call where that lasts longer.
    """
    start = clock()
    points: list[float] = []
    calls = 0
    while True:
        times = _point(run, clock)
        calls += len(times)
        points.append(float(np.median(times)))
        steady = len(points) >= WINDOW and is_steady(points[-WINDOW:])
        if steady or clock() - start >= limit_ns:
            return WarmUp(calls, steady, float(np.median(points[-WINDOW // 2 :])))


def warm_up_calls(run: Run, calls: int, *, clock: Clock = monotonic) -> WarmUp:
    """Call `run` a given number of times; one more call (a point of them, when short) is made to learn its time."""
    for _ in range(calls):
        run()
    times = _point(run, clock)
    return WarmUp(calls + len(times), None, float(np.median(times)))


def _point(run: Run, clock: Clock) -> list[int]:
    times: list[int] = []
    start = clock()
    while not times or clock() - start < POINT_NS:
        times.append(time_calls(run, 1, clock))
    return times
