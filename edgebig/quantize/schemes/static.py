"""int8 weights and activations, with ranges observed on samples."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

from edgebig.quantize.checks import check_quantizable
from edgebig.quantize.choose_ranges import METHODS, choose_ranges
from edgebig.quantize.draft import Draft
from edgebig.quantize.engine import StaticChoice, StaticEngine, StaticResult
from edgebig.quantize.job import Job
from edgebig.quantize.weight_bits import portability_notes, weight_rule
from edgebig.records.quantize import AUTO, NodeCoverage


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
    """

    engine: StaticEngine
    choice: StaticChoice
    calibration: str
    weight_bits: str
    passes: int
    notes: tuple[str, ...]


def static(job: Job) -> Draft:
    """See `edgebig.quantize.schemes.Scheme`."""
    calibrated = calibrate(job)
    plan = calibrated.engine.plan
    check_quantizable(job.original, plan.placement, plan.candidates)
    return draft(calibrated, calibrated.choice)


def calibrate(job: Job, excluded: Collection[str] = ()) -> Calibrated:
    """Go through the samples, and choose ranges.

    Args:
        job: The request.
        excluded: Names of nodes that stay in float, besides those the user wants there.
    """
    options, facts = job.options, job.prepared.facts
    engine = StaticEngine(job.prepared, job.excluded.union(excluded))
    sizes = {name: int(size * job.larger) for name, size in engine.bytes_per_sample.items()}
    passes = engine.calibrate(job.needed(job.observed), sizes, budget=job.budget, threads=options.threads)
    rule, bits = weight_rule(options.weight_bits, facts.target)
    means = engine.means() if options.bias_correction else {}
    notes = portability_notes(rule)
    if options.calibration != AUTO:
        choice = StaticChoice(ranges=engine.ranges(options.calibration), rule=rule, means=means)
        return Calibrated(engine, choice, options.calibration, bits, passes, notes)
    chosen = choose_ranges(
        {method: engine.ranges(method) for method in METHODS},
        lambda ranges: job.fine_judge.of(engine.write(StaticChoice(ranges=ranges, rule=rule, means=means)).model),
        engine.statistics,
    )
    choice = StaticChoice(ranges=chosen.ranges, rule=rule, means=means)
    words = chosen.method + (f" ({len(chosen.others)} tensors by other methods)" if chosen.others else "")
    return Calibrated(engine, choice, words, bits, passes, (*notes, *chosen.notes))


def draft(calibrated: Calibrated, choice: StaticChoice) -> Draft:
    """Write a model.

    Args:
        calibrated: Where it comes from.
        choice: What decides it.
    """
    engine = calibrated.engine
    result = engine.write(choice)
    return Draft(
        model=result.model,
        nodes=_with_weight_errors(result),
        scheme="int8",
        weight_bits=calibrated.weight_bits,
        rewrite=lambda left: draft(calibrated, dataclasses.replace(choice, excluded=choice.excluded | left)),
        tensors=engine.quantized_tensors(result.writer),
        calibration=calibrated.calibration,
        feeds=max((found.feeds for found in engine.statistics.values()), default=0),
        passes=calibrated.passes,
        notes=calibrated.notes,
    )


def _with_weight_errors(result: StaticResult) -> tuple[NodeCoverage, ...]:
    errors = {unit.node.name: weight.error for unit, weight in result.writer.weights.items()}
    return tuple(dataclasses.replace(node, weight_error=errors.get(node.node)) for node in result.plan.nodes)
