"""Facts of the machine, held against what the system says elsewhere."""

import os
import time
from types import SimpleNamespace

import psutil
import pytest

from edgebig.bench import machine as machine_module
from edgebig.bench.environment import EnvironmentWatch, busy_seconds
from edgebig.bench.instruction_sets import known_sets, present_sets
from edgebig.bench.machine import current_mhz, read_machine


def test_the_machine_is_this_one() -> None:
    machine = read_machine()
    assert machine.cores == os.cpu_count()
    assert 1 <= machine.usable_cores <= machine.cores
    assert machine.memory_bytes == psutil.virtual_memory().total
    assert set(machine.features) <= {entry.name for entry in known_sets()}


def test_a_system_that_hides_its_clocks_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise NotImplementedError("can't find current frequency file")

    monkeypatch.setattr(machine_module.psutil, "cpu_freq", refuse)
    assert current_mhz() is None
    assert read_machine().max_mhz is None


def test_busy_time_leaves_out_idle_waiting_and_stolen() -> None:
    times = SimpleNamespace(user=1.0, nice=2.0, system=4.0, idle=100.0, iowait=50.0, irq=8.0, softirq=16.0, steal=30.0)
    assert busy_seconds(times) == 31.0
    assert busy_seconds(SimpleNamespace(user=1.0, system=2.0, idle=9.0)) == 3.0


def test_the_watch_sees_its_own_time_as_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds pass: 14 busy in all, 6 of them ours, 2 stolen."""
    before = SimpleNamespace(user=100.0, system=10.0, idle=500.0, steal=1.0)
    after = SimpleNamespace(user=110.0, system=14.0, idle=504.0, steal=3.0)
    times, clock, own = iter([before, after]), iter([50.0, 60.0]), iter([1.0, 7.0])
    monkeypatch.setattr("edgebig.bench.environment.psutil.cpu_times", lambda: next(times))
    monkeypatch.setattr("edgebig.bench.environment.psutil.cpu_count", lambda: 2)
    monkeypatch.setattr(
        "edgebig.bench.environment.time",
        SimpleNamespace(monotonic=lambda: next(clock), process_time=lambda: next(own)),
    )
    conditions = EnvironmentWatch().environment().conditions
    assert conditions.seconds == 10.0
    assert conditions.others_cores == pytest.approx(0.8)
    assert conditions.steal == pytest.approx(0.1)


def test_the_real_watch_runs() -> None:
    watch = EnvironmentWatch()
    time.sleep(0.05)
    environment = watch.environment()
    assert environment.conditions.seconds == pytest.approx(0.05, abs=0.05)
    assert environment.conditions.started.endswith("+00:00")
    assert environment.packages["edgebig"]
    assert environment.machine.features == present_sets()
