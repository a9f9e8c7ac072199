"""The clock of every measurement, and how long calls take by it."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat

Clock = Callable[[], int]
"""Gives nanoseconds that never go back."""

Run = Callable[[], object]
"""What is measured: it takes nothing, and its result is dropped."""

monotonic: Clock = time.perf_counter_ns


def time_calls(run: Run, calls: int, clock: Clock = monotonic) -> int:
    """Call `run` again and again, and return the nanoseconds that all the calls took together."""
    counter = repeat(None, calls)
    start = clock()
    for _ in counter:
        run()
    return clock() - start


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Collect garbage now and not again inside the block, so that no value holds a collection."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
