"""Measure several models, or one in several runtimes, interleaved in one process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.bench.binding import bind_run, explained
from edgebig.bench.candidates import Candidate, open_candidates
from edgebig.bench.environment import EnvironmentWatch
from edgebig.bench.inputs import Data, has_random_integers, make_feed
from edgebig.bench.providers import providers
from edgebig.bench.runtimes import Opened, check_provider, runtimes
from edgebig.bench.stability import find_warnings
from edgebig.data.feeds import Feed, check_feed
from edgebig.dependencies import require
from edgebig.errors import UsageError
from edgebig.graph.load import ModelLike
from edgebig.progress import track
from edgebig.records.measurement import (
    BenchOptions,
    BoundInput,
    Comparison,
    MeasurementRecord,
    ModelMeasurement,
    Settings,
)
from edgebig.timing.clock import Run, monotonic
from edgebig.timing.comparison import compare_rounds
from edgebig.timing.rounds import measure_rounds
from edgebig.timing.schedule import SETTLE_NS, SPIN_NS, plan_turn
from edgebig.timing.statistics import summarise
from edgebig.timing.warmup import LIMIT_NS, WarmUp, warm_up, warm_up_calls


@dataclass(frozen=True)
class _Entry:
    """A model in a runtime, and the entry of the same model in the first runtime (None: it is that one)."""

    candidate: Candidate
    runtime: str
    reference: int | None


@dataclass(frozen=True)
class _Prepared:
    """A model that is ready to be timed."""

    opened: Opened
    run: Run
    build_ns: int
    first_run_ns: int
    warmup: WarmUp


def bench_models(
    models: ModelLike | Sequence[ModelLike], *, data: Data | None = None, options: BenchOptions | None = None
) -> MeasurementRecord:
    """Measure the latency of one or more models on the same inputs, interleaved in rounds.

    Inputs and outputs are bound to memory once (no copies in the timing); building the session and the first run are
    timed apart; every later model is compared with the first. Where several runtimes are asked for, each model is
    measured in all of them, one after the other, and compared with itself in the first as well.

    Args:
        models: Paths or models in memory. All must take the same inputs.
        data: Samples whose first feed is the input; None for random values of the declared shapes.
        options: How to measure.

    Returns:
        All values measured, their statistics, and the environment.

    Raises:
        UsageError: No model, an unknown provider or runtime, a provider that a runtime does not run on, or dynamic
            axes without a size.
        InvalidModelError: A model cannot be read or run.
        InvalidDataError: The samples, or the first model's inputs, do not fit a model.
        MissingDependencyError: onnxruntime or the provider is missing or does not load.
    """
    options = options or BenchOptions()
    provider = providers.get(options.provider)
    for name in options.runtimes:
        check_provider(runtimes.get(name), options.provider)
    require("onnxruntime", extra=provider.extra, purpose="edgebig bench")
    single = isinstance(models, str | Path | ir.Model)
    given: list[ModelLike] = [models] if single else list(models)  # type: ignore[list-item, arg-type]
    if not given:
        raise UsageError("no model to measure; give one or more")
    watch = EnvironmentWatch()
    with open_candidates(given) as candidates:
        specs = candidates[0].specs
        feed, source = make_feed(specs, data, options)
        for other in candidates[1:]:
            check_feed(feed, other.specs, where=f"inputs of {candidates[0].name}, given to {other.name}")
        entries = _entries(candidates, options.runtimes)
        prepared = [_prepare(entry, feed, options) for entry in track(entries, "building and warming up")]
        with explained(" or ".join(entry.candidate.name for entry in entries)):
            values = _measure(prepared, options)
    measured = tuple(_measurement(i, entries, prepared, values, options) for i in range(len(entries)))
    environment = watch.environment()
    warnings = find_warnings(measured, environment, options.threads)
    warnings += tuple(
        f"{entry.candidate.name}: {found.opened.doubt}"
        for entry, found in zip(entries, prepared, strict=True)
        if found.opened.doubt is not None
    )
    if has_random_integers(specs, data):
        warnings += ("Integer inputs hold random values. Give real ones with --data if the work depends on them.",)
    return MeasurementRecord(
        settings=_settings(feed, source, options), environment=environment, models=measured, warnings=warnings
    )


def _entries(candidates: Sequence[Candidate], names: Sequence[str]) -> list[_Entry]:
    """Every model in every runtime; the name says which where there are several."""
    if len(names) == 1:
        return [_Entry(candidate, names[0], None) for candidate in candidates]
    return [
        _Entry(replace(c, name=f"{c.name} in {name}"), name, i * len(names) if j else None)
        for i, c in enumerate(candidates)
        for j, name in enumerate(names)
    ]


def _prepare(entry: _Entry, feed: Feed, options: BenchOptions) -> _Prepared:
    shapes = {name: tuple(array.shape) for name, array in feed.items()}
    start = monotonic()
    provider, runtime = providers.get(options.provider), runtimes.get(entry.runtime)
    opened = runtime.open(entry.candidate.path, provider, options.threads, shapes)
    built = monotonic()
    outputs = opened.session.run(feed)
    first = monotonic()
    run = bind_run(opened.session, feed, outputs)
    bound_ns = monotonic() - first
    with explained(entry.candidate.name):
        warmup = _warm_up(run, bound_ns, options)
    return _Prepared(opened, run, built - start, first - built, warmup)


def _warm_up(run: Run, bound_ns: int, options: BenchOptions) -> WarmUp:
    if options.warmup is not None:
        return warm_up_calls(run, options.warmup)
    if bound_ns >= LIMIT_NS:
        return WarmUp(1, False, bound_ns)  # the run that tried the binding has used up the time
    return warm_up(run)


def _measure(prepared: Sequence[_Prepared], options: BenchOptions) -> list[NDArray]:
    # Threads of the other sessions spin on after their turn; a single session only disturbs itself as any use does.
    settle_ns = SPIN_NS if len(prepared) > 1 and options.threads != 1 else SETTLE_NS
    return measure_rounds(
        [p.run for p in prepared],
        [plan_turn(p.warmup.call_ns, settle_ns=settle_ns) for p in prepared],
        rounds=options.rounds,
        budget_ns=int(options.time * 1e9),
        seed=options.seed,
    )


def _measurement(
    index: int,
    entries: Sequence[_Entry],
    prepared: Sequence[_Prepared],
    values: Sequence[NDArray],
    options: BenchOptions,
) -> ModelMeasurement:
    entry, found, rounded = entries[index], prepared[index], np.round(values[index], 1)

    def against(reference: int) -> Comparison:
        return compare_rounds(values[reference], values[index], seed=options.seed)

    return ModelMeasurement(
        name=entry.candidate.name,
        runtime=entry.runtime,
        file=entry.candidate.path.name,
        sha256=entry.candidate.sha256,
        bytes=entry.candidate.bytes,
        build_ns=found.build_ns,
        first_run_ns=found.first_run_ns,
        warmup_runs=found.warmup.calls,
        steady=found.warmup.steady,
        loops=plan_turn(found.warmup.call_ns).loops,
        values=tuple(tuple(row) for row in rounded.tolist()),
        summary=summarise(rounded),
        comparison=against(0) if index else None,
        same_model=None if entry.reference is None else against(entry.reference),
        story=found.opened.story,
    )


def _settings(feed: Feed, source: str, options: BenchOptions) -> Settings:
    return Settings(
        runtime=", ".join(runtimes.get(name).full_name for name in options.runtimes),
        provider=options.provider,
        threads=options.threads,
        inputs={name: BoundInput(dtype=str(array.dtype), shape=array.shape) for name, array in feed.items()},
        data=source,
        options=options,
    )
