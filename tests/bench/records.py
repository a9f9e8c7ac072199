"""Measurements made up for tests."""

from dataclasses import replace

import numpy as np

from edgebig.records.measurement import (
    BenchOptions,
    BoundInput,
    Conditions,
    Environment,
    Machine,
    MeasurementRecord,
    ModelMeasurement,
    Settings,
)
from edgebig.timing.statistics import summarise

MACHINE = Machine(
    cpu_model="Test CPU",
    architecture="x86_64",
    features=("AVX2",),
    cores=4,
    usable_cores=4,
    memory_bytes=8_000_000_000,
    governor="performance",
    max_mhz=None,
)
QUIET = Conditions(
    started="2026-01-01T00:00:00+00:00",
    seconds=3.0,
    load_average=0.1,
    available_bytes=7_000_000_000,
    others_cores=0.01,
    steal=0.0,
    mhz=(2000.0, 2010.0),
)
ENVIRONMENT = Environment(machine=MACHINE, os="Linux", python="3.11.7", packages={}, conditions=QUIET)


def measurement(values: np.ndarray, name: str = "m.onnx") -> ModelMeasurement:
    """A model's measurement with the given values, [rounds, values]."""
    return ModelMeasurement(
        name=name,
        file="m.onnx",
        sha256="0" * 64,
        bytes=1000,
        build_ns=5_000_000,
        first_run_ns=900_000,
        warmup_runs=10,
        steady=True,
        loops=1,
        values=tuple(tuple(row) for row in values.tolist()),
        summary=summarise(values),
        comparison=None,
    )


def steady_values(seed: int = 0) -> np.ndarray:
    """100 rounds of 5 values around 1 ms, 1 % noise."""
    return 1e6 * (1 + 0.01 * np.random.default_rng(seed).standard_normal((100, 5)))


def record(
    *models: ModelMeasurement, threads: int = 1, machine: Machine = MACHINE, batch: int = 1
) -> MeasurementRecord:
    """A whole record."""
    return MeasurementRecord(
        settings=Settings(
            runtime="onnxruntime",
            provider="cpu",
            threads=threads,
            inputs={"x": BoundInput(dtype="float32", shape=(batch, 3))},
            data="random values, seed 0",
            options=BenchOptions(threads=threads),
        ),
        environment=replace(ENVIRONMENT, machine=machine),
        models=models,
        warnings=(),
    )
