"""Warnings: none for a quiet machine, one for each thing that is wrong."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgebig.bench.stability import find_warnings
from edgebig.records.measurement import Environment, ModelMeasurement
from tests.bench.records import ENVIRONMENT, MACHINE, QUIET, measurement, steady_values


def environment(machine: dict[str, Any] | None = None, conditions: dict[str, Any] | None = None) -> Environment:
    return replace(
        ENVIRONMENT, machine=replace(MACHINE, **machine or {}), conditions=replace(QUIET, **conditions or {})
    )


def test_a_quiet_machine_has_none() -> None:
    assert find_warnings([measurement(steady_values())], ENVIRONMENT, threads=1) == ()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (measurement(steady_values() * np.linspace(1.0, 0.9, 100)[:, None]), "drifted by more than 3%"),
        (measurement(steady_values() * np.where(np.arange(100) % 10, 1, 2)[:, None]), "the times scatter"),
        (replace(measurement(steady_values()), steady=False), "warm-up ended before"),
        (replace(measurement(steady_values()), loops=20), "mean of several runs"),
        (measurement(steady_values()[:, :1][:50]), "p99 says little"),
    ],
)
def test_each_fault_of_a_model_is_named(model: ModelMeasurement, words: str) -> None:
    (warning,) = find_warnings([model], ENVIRONMENT, threads=1)
    assert warning.startswith("m.onnx: ")
    assert words in warning


def test_too_few_rounds_are_named() -> None:
    warnings = find_warnings([measurement(np.full((3, 50), 1e6))], ENVIRONMENT, threads=1)
    assert warnings == ("Only 3 rounds were measured, too few for a verdict. Give more --time or --rounds.",)


def test_models_with_the_same_fault_share_a_line() -> None:
    unsteady = [replace(measurement(steady_values(), name), steady=False) for name in ("a", "b")]
    (warning,) = find_warnings([*unsteady, measurement(steady_values(), "c")], ENVIRONMENT, threads=1)
    assert warning.startswith("a, b: ")


def test_a_warm_up_of_given_length_is_not_judged() -> None:
    assert find_warnings([replace(measurement(steady_values()), steady=None)], ENVIRONMENT, threads=1) == ()


@pytest.mark.parametrize(
    ("place", "threads", "words"),
    [
        (environment(), 8, "8 threads share 4 processors"),
        (environment(conditions={"others_cores": 1.5}), 1, "1.5 of 4 processors busy"),
        (environment(conditions={"steal": 0.08}), 1, "8% of the time to other machines"),
        (environment(machine={"governor": "powersave"}), 1, "cpupower frequency-set"),
        (environment(conditions={"mhz": (3000.0, 2000.0)}), 1, "from 3000 to 2000 MHz"),
    ],
)
def test_each_fault_of_the_place_is_named(place: Environment, threads: int, words: str) -> None:
    (warning,) = find_warnings([measurement(steady_values())], place, threads=threads)
    assert words in warning


def test_what_cannot_be_read_gives_no_warning() -> None:
    blind = environment(machine={"governor": None}, conditions={"mhz": None, "load_average": None})
    assert find_warnings([measurement(steady_values())], blind, threads=1) == ()
