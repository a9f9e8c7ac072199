"""The environment of a measurement: the machine, its software, and what else it did meanwhile."""

import datetime
import platform
import time

import psutil

from edgebig.bench.machine import current_mhz, read_machine
from edgebig.graph.provenance import package_versions
from edgebig.records.measurement import Conditions, Environment


class EnvironmentWatch:
    """Looks at the machine when made, and again when asked for the environment."""

    def __init__(self) -> None:
        self._started = datetime.datetime.now(datetime.UTC)
        self._load = psutil.getloadavg()[0] if hasattr(psutil, "getloadavg") else None
        self._available = psutil.virtual_memory().available
        self._mhz = current_mhz()
        self._times, self._own = psutil.cpu_times(), time.process_time()
        self._start = time.monotonic()

    def environment(self) -> Environment:
        """The environment from then until now."""
        now, seconds = psutil.cpu_times(), max(time.monotonic() - self._start, 1e-3)
        own = time.process_time() - self._own
        steal = getattr(now, "steal", 0.0) - getattr(self._times, "steal", 0.0)
        mhz = current_mhz()
        conditions = Conditions(
            started=self._started.isoformat(timespec="seconds"),
            seconds=seconds,
            load_average=self._load,
            available_bytes=self._available,
            others_cores=max(0.0, (busy_seconds(now) - busy_seconds(self._times) - own) / seconds),
            steal=steal / (seconds * (psutil.cpu_count() or 1)),
            mhz=(self._mhz, mhz) if self._mhz is not None and mhz is not None else None,
        )
        return Environment(
            machine=read_machine(),
            os=platform.platform(),
            python=platform.python_version(),
            packages=package_versions(),
            conditions=conditions,
        )


def busy_seconds(times: object) -> float:
    """Processor seconds spent in programs and the kernel, out of psutil's `cpu_times`.

    Idle, waiting and stolen time are left out; guests' time is part of `user` already.
    """
    return float(sum(getattr(times, field, 0.0) for field in ("user", "nice", "system", "irq", "softirq")))
