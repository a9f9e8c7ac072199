"""The record of a measurement: options that are refused, JSON, and what does not compare."""

from dataclasses import replace

import pytest

from edgebig.errors import UsageError
from edgebig.records.measurement import BenchOptions, MeasurementRecord
from tests.bench.records import MACHINE, measurement, record, steady_values


@pytest.mark.parametrize(
    ("field", "value"),
    [("threads", -1), ("rounds", 0), ("warmup", -1), ("batch", 0), ("seed", -1), ("time", 0.0), ("time", float("nan"))],
)
def test_impossible_options_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{field} is"):
        BenchOptions(**{field: value})  # type: ignore[arg-type]


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="dim width is 0"):
        BenchOptions(dims={"width": 0})


def test_json_keeps_everything() -> None:
    written = record(measurement(steady_values()))
    assert MeasurementRecord.from_json(written.to_json()) == written
    assert written.to_dict()["schema"] == "edgebig.measurement"
    assert len(written.to_dict()["models"][0]["values"]) == 100


def test_the_same_place_and_setting_compare() -> None:
    one, two = record(measurement(steady_values(0))), record(measurement(steady_values(1)))
    one.check_comparable(two)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (record(threads=2), "threads: 1 and 2"),
        (record(batch=4), r"float32\[1, 3\].*float32\[4, 3\]"),
        (record(machine=replace(MACHINE, cpu_model="Other CPU")), "cpu_model: Test CPU and Other CPU"),
        (record(machine=replace(MACHINE, governor="powersave")), "governor: performance and powersave"),
    ],
)
def test_other_places_and_settings_do_not(other: MeasurementRecord, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        record().check_comparable(other)
