"""What makes a measurement less certain, in words. Thresholds follow pyperf where it has them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from edgebig.records.measurement import Environment, ModelMeasurement
from edgebig.timing.comparison import FEWEST_ROUNDS
from edgebig.timing.stationarity import SIGNIFICANT, relative_drift, trend_score

SCATTER = 0.10
DRIFT = 0.03
FEWEST_VALUES = 100
OTHERS_CORES = 0.2
STEAL = 0.01
CLOCK_CHANGE = 0.05


def find_warnings(models: Sequence[ModelMeasurement], environment: Environment, threads: int) -> tuple[str, ...]:
    """Name everything that should make a reader doubt the numbers, and what to do about it.

    Args:
        models: What was measured.
        environment: Where.
        threads: Threads asked for.
    """
    return (*_of_models(models), *_of_environment(environment, threads))


def _of_models(models: Sequence[ModelMeasurement]) -> Iterator[str]:
    rounds = len(models[0].values)
    if rounds < FEWEST_ROUNDS:
        yield f"Only {rounds} rounds were measured, too few for a verdict. Give more --time or --rounds."
    for what, applies in _MODEL_CHECKS:
        if names := [model.name for model in models if applies(model)]:
            yield f"{', '.join(names)}: {what}"


def _scatters(model: ModelMeasurement) -> bool:
    return model.summary.stdev >= SCATTER * model.summary.mean


def _drifts(model: ModelMeasurement) -> bool:
    medians = np.array([np.median(values) for values in model.values])
    return len(medians) >= FEWEST_ROUNDS and (
        abs(trend_score(medians)) > SIGNIFICANT and abs(relative_drift(medians)) > DRIFT
    )


_MODEL_CHECKS: tuple[tuple[str, Callable[[ModelMeasurement], bool]], ...] = (
    (
        f"the times scatter (standard deviation above {SCATTER:.0%} of the mean). Close other programs, or measure "
        "longer.",
        _scatters,
    ),
    (f"the times drifted by more than {DRIFT:.0%} while they were measured.", _drifts),
    (
        "warm-up ended before the times were steady.",
        lambda model: model.steady is False,
    ),
    (
        f"fewer than {FEWEST_VALUES} values, so p99 says little. Give more --time.",
        lambda model: model.summary.n < FEWEST_VALUES,
    ),
    (
        "too short for the clock, so each value is the mean of several runs, and p90 and p99 are of such means.",
        lambda model: model.loops > 1,
    ),
)


def _of_environment(environment: Environment, threads: int) -> Iterator[str]:
    machine, conditions = environment.machine, environment.conditions
    if threads > machine.usable_cores:
        yield f"{threads} threads share {machine.usable_cores} processors."
    if conditions.others_cores > OTHERS_CORES:
        yield (
            f"Other programs kept {conditions.others_cores:.1f} of {machine.cores} processors busy meanwhile. "
            "Close them for steadier times."
        )
    if conditions.steal > STEAL:
        yield f"The hypervisor gave {conditions.steal:.0%} of the time to other machines."
    if machine.governor not in (None, "performance"):
        yield (
            f"The clock governor is {machine.governor!r}: clocks follow the load. For steadier times: "
            "sudo cpupower frequency-set -g performance"
        )
    if conditions.mhz is not None and abs(conditions.mhz[1] - conditions.mhz[0]) > CLOCK_CHANGE * conditions.mhz[0]:
        yield f"The clock went from {conditions.mhz[0]:.0f} to {conditions.mhz[1]:.0f} MHz meanwhile."
