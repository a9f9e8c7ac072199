"""Take a batch's tensors into their statistics, several at a time."""

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from numpy.typing import NDArray

from edgebig.quantize.calibrate.statistics import TensorStatistics

# Less than this is not worth waking a thread for.
_LEAST_BYTES = 1 << 20


class Gatherer:
    """Fills statistics with a pool of threads; one tensor is one thread's, so the result does not depend on them.

    Args:
        statistics: By tensor name.
        threads: How many; 0 for one for each processor that this process may use.
    """

    def __init__(self, statistics: Mapping[str, TensorStatistics], threads: int = 0) -> None:
        self._statistics = statistics
        self._threads = threads or processors()
        self._pool = ThreadPoolExecutor(self._threads, "edgebig-statistics") if self._threads > 1 else None

    def add(self, arrays: Mapping[str, NDArray]) -> None:
        """Take tensors in; they are of no more use to it afterwards.

        Raises:
            InvalidDataError: One of them holds NaN or infinity; the first in their order is named.
        """
        if self._pool is None or sum(array.nbytes for array in arrays.values()) < _LEAST_BYTES:
            for name, array in arrays.items():
                self._statistics[name].add(array)
            return
        largest_first = sorted(arrays, key=lambda name: -arrays[name].nbytes)
        jobs: dict[str, Future[None]] = {
            name: self._pool.submit(self._statistics[name].add, arrays[name]) for name in largest_first
        }
        errors = {name: jobs[name].exception() for name in arrays}
        for error in errors.values():
            if error is not None:
                raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def processors() -> int:
    """How many of them this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
