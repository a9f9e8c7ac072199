"""int8 weights and activations, with ranges observed on samples."""

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass

from edgebig.errors import UsageError
from edgebig.graph.edit import working_copy
from edgebig.quantize.algorithms.fold_batch_norms import fold_batch_norms
from edgebig.quantize.algorithms.improve import Setting, improve
from edgebig.quantize.algorithms.output_error import output_error
from edgebig.quantize.algorithms.presets import switches_for
from edgebig.quantize.checks import check_quantizable
from edgebig.quantize.choose_ranges import METHODS, ChosenRanges, choose_ranges
from edgebig.quantize.draft import Draft
from edgebig.quantize.engine import Range, StaticChoice, StaticEngine, StaticResult
from edgebig.quantize.formats.qdq import WeightRule
from edgebig.quantize.formats.qoperator import to_qoperator
from edgebig.quantize.job import Job
from edgebig.quantize.mixed_concats import mixed_concats
from edgebig.quantize.prepare import Prepared
from edgebig.quantize.weight_bits import portability_notes, weight_rule
from edgebig.records.quantize import (
    ALGORITHMS,
    AUTO,
    FAST,
    NBITS,
    QOPERATOR,
    AlgorithmReport,
    NodeCoverage,
    QuantizeOptions,
)
from edgebig.targets import Target, targets
from edgebig.targets.base import Form

FAST_METHOD, MINMAX = "mse", "minmax"
WIDE = 16


@dataclass(frozen=True)
class Calibrated:
    """A float model whose samples were gone through.

    Attributes:
        engine: Writes int8 models of it.
        choice: What the best of them so far is written with.
        calibration: How ranges were chosen, in words.
        weight_bits: Bits of the weights, in words.
        passes: Times the samples were gone through.
        notes: What the user should know.
        algorithms: What the accuracy algorithms did.
        format: "qoperator", or QDQ.
    """

    engine: StaticEngine
    choice: StaticChoice
    calibration: str
    weight_bits: str
    passes: int
    notes: tuple[str, ...]
    algorithms: tuple[AlgorithmReport, ...] = ()
    format: str = AUTO


def static(job: Job) -> Draft:
    """See `edgebig.quantize.schemes.Scheme`."""
    calibrated = calibrate(job)
    plan = calibrated.engine.plan
    check_quantizable(job.original, plan.placement, plan.candidates)
    return draft(calibrated, calibrated.choice)


def calibrate(job: Job, excluded: Collection[str] = ()) -> Calibrated:
    """Go through the samples, choose ranges, and run the accuracy algorithms.

    Args:
        job: The request.
        excluded: Names of nodes that stay in float, besides those the user wants there.
    """
    options = job.options
    check_static_request(options, job.prepared.facts.target)
    left = job.excluded.union(excluded)
    prepared, folding = _folded(job.prepared)
    engine = StaticEngine(prepared, left)
    rule, bits = weight_rule(options.weight_bits, job.prepared.facts.target)
    if not engine.statistics:
        return Calibrated(engine, StaticChoice(ranges={}, rule=rule), "", bits, 0, ())
    observed = job.needed(job.observed)
    sizes = {name: int(size * job.larger) for name, size in engine.bytes_per_sample.items()}
    passes = engine.calibrate(observed, sizes, budget=job.budget, threads=options.threads, use_cache=options.cache)
    mixed = mixed_concats(engine.plan, engine.ranges(MINMAX))
    chosen = _ranges(job, engine, rule, frozenset(mixed))
    setting = Setting(
        observed=observed,
        judge=lambda model: output_error(job.judge, model),
        ranges=lambda changed: _ranges_by(chosen, changed),
        excluded=left,
        larger=job.larger,
        budget=job.budget,
        threads=options.threads,
    )
    switches = switches_for(options.effort, {name: getattr(options, name) for name in ALGORITHMS})
    start = StaticChoice(ranges=chosen.ranges, rule=rule, wide=_wide(engine, options), excluded=frozenset(mixed))
    best = improve(engine, start, setting, switches)
    stays = (
        f"Concat {name!r} stays in float: one of its inputs has a range {times:.0f} times another's, which one scale "
        f"would round away"
        for name, times in mixed.items()
    )
    notes = (*portability_notes(rule), *stays, *chosen.notes)
    words = chosen.method + (f" ({len(chosen.others)} tensors by other methods)" if chosen.others else "")
    return Calibrated(best.engine, best.choice, words, bits, passes, notes, (*folding, *best.reports), options.format)


def check_static_request(options: QuantizeOptions, target: Target) -> None:
    """Refuse what static int8 cannot be.

    Raises:
        UsageError: A format that it has not, or 16 bits on a target that has none.
    """
    if options.format == NBITS:
        raise UsageError("format 'nbits' is for int8-weight and int4-weight. Take qdq or qoperator, or leave it auto.")
    if options.format == QOPERATOR and Form.QOPERATOR not in target.forms:
        raise UsageError(f"target {target.name} runs no integer operators (QLinearConv, ...). Take --format qdq.")
    if options.activation_bits == WIDE and target.wide_activation_dtype is None:
        able = [name for name in targets.names() if targets.get(name)().wide_activation_dtype is not None]
        raise UsageError(f"target {target.name} has no activations of 16 bits; these have: {', '.join(able)}.")


def _wide(engine: StaticEngine, options: QuantizeOptions) -> frozenset[str]:
    if options.activation_bits != WIDE:
        return frozenset()
    return frozenset(unit.node.name or "" for unit in engine.plan.candidates.units)


def _folded(prepared: Prepared) -> tuple[Prepared, tuple[AlgorithmReport, ...]]:
    """The float model with batch norms in the layers beside them."""
    model = working_copy(prepared.model)
    report = fold_batch_norms(model)
    if not report.kept:
        return prepared, (report,) if report.skipped else ()
    return dataclasses.replace(prepared, model=model), (report,)


def _ranges(job: Job, engine: StaticEngine, rule: WeightRule, excluded: frozenset[str]) -> ChosenRanges:
    method = job.options.calibration
    if method == AUTO and job.options.effort == FAST:
        method = FAST_METHOD
    if method != AUTO:
        return ChosenRanges(engine.ranges(method), method, {}, {}, math.nan, 0)
    return choose_ranges(
        {method: engine.ranges(method) for method in METHODS},
        lambda ranges: output_error(
            job.judge, engine.write(StaticChoice(ranges=ranges, rule=rule, excluded=excluded)).model
        ),
        engine.statistics,
    )


def _ranges_by(chosen: ChosenRanges, engine: StaticEngine) -> dict[str, Range]:
    """The ranges of an engine by the methods that were chosen, tensor by tensor."""
    by_method = {method: engine.ranges(method) for method in {chosen.method, *chosen.others.values()}}
    return {name: by_method[chosen.others.get(name, chosen.method)][name] for name in by_method[chosen.method]}


def draft(calibrated: Calibrated, choice: StaticChoice) -> Draft:
    """Write a model.

    Args:
        calibrated: Where it comes from.
        choice: What decides it.
    """
    engine = calibrated.engine
    result = engine.write(choice)
    as_operators = calibrated.format == QOPERATOR
    return Draft(
        model=to_qoperator(result.model) if as_operators else result.model,
        nodes=_with_weight_errors(result),
        scheme="int8",
        weight_bits=calibrated.weight_bits,
        rewrite=lambda left: draft(calibrated, dataclasses.replace(choice, excluded=choice.excluded | left)),
        tensors=engine.quantized_tensors(result.writer),
        calibration=calibrated.calibration,
        feeds=max((found.feeds for found in engine.statistics.values()), default=0),
        passes=calibrated.passes,
        algorithms=calibrated.algorithms,
        notes=calibrated.notes,
    )


def _with_weight_errors(result: StaticResult) -> tuple[NodeCoverage, ...]:
    errors = {unit.node.name: weight.error for unit, weight in result.writer.weights.items()}
    return tuple(dataclasses.replace(node, weight_error=errors.get(node.node)) for node in result.plan.nodes)
