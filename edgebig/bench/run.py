"""Measure several models, interleaved in one process."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.bench.binding import bind_run, explained, open_session
from edgebig.bench.candidates import Candidate, open_candidates
from edgebig.bench.environment import EnvironmentWatch
from edgebig.bench.inputs import Data, has_random_integers, make_feed
from edgebig.bench.providers import Provider, providers
from edgebig.bench.stability import find_warnings
from edgebig.data.feeds import Feed, check_feed
from edgebig.dependencies import require
from edgebig.errors import UsageError
from edgebig.graph.load import ModelLike
from edgebig.progress import track
from edgebig.records.measurement import BenchOptions, BoundInput, MeasurementRecord, ModelMeasurement, Settings
from edgebig.timing.clock import Run, monotonic
from edgebig.timing.comparison import compare_rounds
from edgebig.timing.rounds import measure_rounds
from edgebig.timing.schedule import SETTLE_NS, SPIN_NS, plan_turn
from edgebig.timing.statistics import summarise
from edgebig.timing.warmup import LIMIT_NS, WarmUp, warm_up, warm_up_calls


@dataclass(frozen=True)
class _Prepared:
    """A model that is ready to be timed. The session is kept alive by `run`."""

    run: Run
    build_ns: int
    first_run_ns: int
    warmup: WarmUp


def bench_models(
    models: ModelLike | Sequence[ModelLike], *, data: Data | None = None, options: BenchOptions | None = None
) -> MeasurementRecord:
    """Measure the latency of one or more models on the same inputs, interleaved in rounds.

    Inputs and outputs are bound to memory once (no copies in the timing); building the session and the first run are
    timed apart; every later model is compared with the first.

    Args:
        models: Paths or models in memory. All must take the same inputs.
        data: Samples whose first feed is the input; None for random values of the declared shapes.
        options: How to measure.

    Returns:
        All values measured, their statistics, and the environment.

    Raises:
        UsageError: No model, an unknown provider, or dynamic axes without a size.
        InvalidModelError: A model cannot be read or run.
        InvalidDataError: The samples, or the first model's inputs, do not fit a model.
        MissingDependencyError: onnxruntime or the provider is missing or does not load.
    """
    options = options or BenchOptions()
    provider = providers.get(options.provider)
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
        prepared = [_prepare(c, feed, provider, options) for c in track(candidates, "building and warming up")]
        with explained(" or ".join(candidate.name for candidate in candidates)):
            values = _measure(prepared, options)
    measured = tuple(
        _measurement(*parts, values[0], options) for parts in zip(candidates, prepared, values, strict=True)
    )
    environment = watch.environment()
    warnings = find_warnings(measured, environment, options.threads)
    if has_random_integers(specs, data):
        warnings += ("Integer inputs hold random values. Give real ones with --data if the work depends on them.",)
    return MeasurementRecord(
        settings=_settings(feed, source, options), environment=environment, models=measured, warnings=warnings
    )


def _prepare(candidate: Candidate, feed: Feed, provider: Provider, options: BenchOptions) -> _Prepared:
    start = monotonic()
    session = open_session(candidate.path, provider, threads=options.threads)
    built = monotonic()
    outputs = session.run(feed)
    first = monotonic()
    run = bind_run(session, feed, outputs)
    bound_ns = monotonic() - first
    with explained(candidate.name):
        warmup = _warm_up(run, bound_ns, options)
    return _Prepared(run, built - start, first - built, warmup)


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
    candidate: Candidate, prepared: _Prepared, values: NDArray, reference: NDArray, options: BenchOptions
) -> ModelMeasurement:
    rounded = np.round(values, 1)
    return ModelMeasurement(
        name=candidate.name,
        file=candidate.path.name,
        sha256=candidate.sha256,
        bytes=candidate.bytes,
        build_ns=prepared.build_ns,
        first_run_ns=prepared.first_run_ns,
        warmup_runs=prepared.warmup.calls,
        steady=prepared.warmup.steady,
        loops=plan_turn(prepared.warmup.call_ns).loops,
        values=tuple(tuple(row) for row in rounded.tolist()),
        summary=summarise(rounded),
        comparison=None if values is reference else compare_rounds(reference, values, seed=options.seed),
    )


def _settings(feed: Feed, source: str, options: BenchOptions) -> Settings:
    return Settings(
        runtime="onnxruntime",
        provider=options.provider,
        threads=options.threads,
        inputs={name: BoundInput(dtype=str(array.dtype), shape=array.shape) for name, array in feed.items()},
        data=source,
        options=options,
    )
