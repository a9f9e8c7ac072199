"""int8 weights and activations, with ranges observed on samples."""

import dataclasses

from edgebig.quantize.checks import check_quantizable
from edgebig.quantize.draft import Draft
from edgebig.quantize.engine import StaticChoice, StaticEngine, StaticResult
from edgebig.quantize.job import Job
from edgebig.quantize.weight_bits import portability_notes, weight_rule
from edgebig.records.quantize import NodeCoverage


def static(job: Job) -> Draft:
    """See `edgebig.quantize.schemes.Scheme`."""
    options, target = job.options, job.prepared.facts.target
    observed = job.needed(job.observed)
    engine = StaticEngine(job.prepared, job.excluded)
    check_quantizable(job.original, engine.plan.placement, engine.plan.candidates)
    sizes = {name: int(size * job.larger) for name, size in engine.bytes_per_sample.items()}
    passes = engine.calibrate(observed, sizes, budget=job.budget, threads=options.threads)
    rule, bits = weight_rule(options.weight_bits, target)
    means = engine.means() if options.bias_correction else {}
    result = engine.write(StaticChoice(ranges=engine.ranges(options.calibration), rule=rule, means=means))
    return Draft(
        model=result.model,
        nodes=_with_weight_errors(result),
        scheme="int8",
        weight_bits=bits,
        tensors=engine.quantized_tensors(result.writer),
        calibration=options.calibration,
        feeds=max((found.feeds for found in engine.statistics.values()), default=0),
        passes=passes,
        notes=portability_notes(rule),
    )


def _with_weight_errors(result: StaticResult) -> tuple[NodeCoverage, ...]:
    errors = {unit.node.name: weight.error for unit, weight in result.writer.weights.items()}
    return tuple(dataclasses.replace(node, weight_error=errors.get(node.node)) for node in result.plan.nodes)
