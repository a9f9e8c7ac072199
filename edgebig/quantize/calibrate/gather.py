"""Take a batch's tensors into their statistics, several at a time, while the model runs on the next batch."""

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
        self._pool = ThreadPoolExecutor(threads or processors(), "edgebig-statistics")
        self._jobs: list[Future[None]] = []

    def add(self, arrays: Mapping[str, NDArray]) -> None:
        """Begin to take tensors in, once those before are in; their memory must stay as it is meanwhile.

        Raises:
            InvalidDataError: See `wait`.
        """
        self.wait()
        if sum(array.nbytes for array in arrays.values()) < _LEAST_BYTES:
            for name, array in arrays.items():
                self._statistics[name].add(array)
            return
        largest_first = sorted(arrays, key=lambda name: -arrays[name].nbytes)
        jobs = {name: self._pool.submit(self._statistics[name].add, arrays[name]) for name in largest_first}
        self._jobs = [jobs[name] for name in arrays]

    def wait(self) -> None:
        """Wait until all is in.

        Raises:
            InvalidDataError: A tensor holds NaN or infinity; the first in their order is named.
        """
        errors = [job.exception() for job in self._jobs]
        self._jobs = []
        for error in errors:
            if error is not None:
                raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def processors() -> int:
    """How many of them this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
