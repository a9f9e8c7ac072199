"""Interleaved rounds: each round gives every callable one turn, in an order drawn anew, so that whatever slows the
machine down slows all of them alike.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgebig.progress import track
from edgebig.timing.clock import Clock, Run, monotonic, time_calls, without_garbage_collection
from edgebig.timing.schedule import Schedule

FEWEST_ROUNDS = 3


def measure_rounds(
    runs: Sequence[Run],
    schedules: Sequence[Schedule],
    *,
    rounds: int,
    budget_ns: int,
    seed: int = 0,
    clock: Clock = monotonic,
) -> list[NDArray]:
    """Measure several callables in interleaved rounds.

    Args:
        runs: The callables.
        schedules: The turn of each.
        rounds: At most this many rounds.
        budget_ns: No new round is begun after so many nanoseconds, once `FEWEST_ROUNDS` are done.
        seed: Decides the order within each round.
        clock: Gives the time.

    Returns:
        For each callable an array [rounds, values] of float64: nanoseconds per call.
    """
    order = np.random.default_rng(seed)
    results: list[list[list[int]]] = [[] for _ in runs]
    start = clock()
    with without_garbage_collection():
        for done in track(range(rounds), "measuring", rounds):
            if done >= FEWEST_ROUNDS and clock() - start >= budget_ns:
                break
            for index in order.permutation(len(runs)):
                results[index].append(take_turn(runs[index], schedules[index], clock))
    return [
        np.array(result, dtype=np.float64) / schedule.loops for result, schedule in zip(results, schedules, strict=True)
    ]


def take_turn(run: Run, schedule: Schedule, clock: Clock = monotonic) -> list[int]:
    """Give one callable its turn.

    Returns:
        Its values: nanoseconds that `schedule.loops` calls took together.
    """
    for _ in range(schedule.settle):
        run()
    return [time_calls(run, schedule.loops, clock) for _ in range(schedule.values)]
