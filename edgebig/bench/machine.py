"""Facts of this machine, as far as its system tells them."""

import os
import platform
from pathlib import Path
from typing import Any

import psutil

from edgebig.bench.instruction_sets import present_sets
from edgebig.records.measurement import Machine
from edgebig.targets.cpu_features import cpu_model

_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def read_machine() -> Machine:
    """Look at the machine this runs on."""
    cores = psutil.cpu_count() or 1
    clock = _cpu_freq()
    return Machine(
        cpu_model=cpu_model(),
        architecture=platform.machine(),
        features=present_sets(),
        cores=cores,
        usable_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores,
        memory_bytes=psutil.virtual_memory().total,
        governor=_read(_GOVERNOR),
        max_mhz=clock.max if clock is not None and clock.max else None,
    )


def current_mhz() -> float | None:
    """The processors' clock right now, on average; None where it cannot be read."""
    clock = _cpu_freq()
    return clock.current if clock is not None and clock.current else None


def _cpu_freq() -> Any:
    try:
        return psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):  # each of them on some system that hides its clocks
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None
