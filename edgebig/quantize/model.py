"""Quantization of a model: observe ranges on samples, write integers, measure what was lost."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.feeds import Feed
from edgebig.data.samples import DEFAULT_BATCH, Samples, open_samples
from edgebig.errors import QualityGateError
from edgebig.evaluate.compare import compare_models
from edgebig.graph.interface import input_specs
from edgebig.graph.load import ModelLike, resolve_model, source_files
from edgebig.graph.provenance import stamp
from edgebig.graph.skeleton import model_bytes
from edgebig.quantize.checks import check_quantizable
from edgebig.quantize.engine import StaticChoice, StaticEngine, StaticResult
from edgebig.quantize.exclude import excluded_names
from edgebig.quantize.prepare import prepare
from edgebig.quantize.weight_bits import portability_notes, weight_rule
from edgebig.records.comparison import ComparisonRecord
from edgebig.records.quantize import NodeCoverage, QuantizeOptions, QuantizeRecord, parse_size
from edgebig.targets import targets
from edgebig.targets.cpu_features import machine_facts

DataLike = str | Path | Mapping[str, NDArray] | Sequence[Feed] | Samples
# One feed in so many is held out of the observation, to measure the loss on.
HELD_OUT = 4


def quantize_model(
    model: ModelLike, *, data: DataLike, options: QuantizeOptions | None = None
) -> tuple[ir.Model, QuantizeRecord]:
    """Quantize a model to int8 with QuantizeLinear and DequantizeLinear, as the target fuses them.

    Args:
        model: The float model, or its path; it stays as it is.
        data: Samples to observe ranges on (see `edgebig.data.samples.open_samples`); some of them are held out to
            measure the loss.
        options: How.

    Returns:
        The result, and what was done.

    Raises:
        InvalidModelError: The model cannot be read or run, is quantized already, or has nothing to quantize.
        InvalidDataError: The samples do not fit.
        UsageError: An unknown target, calibration method or node.
        QualityGateError: The loss on the held-out samples exceeds `options.max_loss`.
    """
    options = options or QuantizeOptions()
    target = targets.get(options.target)()
    budget = parse_size(options.ram_budget)
    original = resolve_model(model)
    specs = input_specs(original)
    sample = next(iter(open_samples(data, specs, batch_size=1, limit=options.samples)))
    prepared = prepare(original, sample, target)
    engine = StaticEngine(prepared, excluded_names(prepared.model.graph, options.exclude))
    check_quantizable(original, engine.plan.placement, engine.plan.candidates)
    batch = max(1, min(DEFAULT_BATCH, budget // max(sum(engine.bytes_per_sample.values()), 1)))
    samples = open_samples(data, specs, batch_size=batch, limit=options.samples)
    seen, held_out = samples.split(HELD_OUT)
    sizes = _sizes_on(engine.bytes_per_sample, sample, next(iter(samples)))
    passes = engine.calibrate(seen, sizes, budget=budget, threads=options.threads)
    rule, bits = weight_rule(options.weight_bits, target)
    means = engine.means() if options.bias_correction else {}
    result = engine.write(StaticChoice(ranges=engine.ranges(options.calibration), rule=rule, means=means))
    machine = machine_facts()
    stamp(result.model, "quantize", options, inputs=(*source_files(original), *samples.files), machine=machine)
    comparison = compare_models(original, result.model, held_out, threads=options.threads)
    check_loss(comparison, options.max_loss)
    record = QuantizeRecord(
        target=target.name,
        calibration=options.calibration,
        weight_bits=bits,
        machine=machine,
        nodes=_with_weight_errors(result),
        tensors=engine.quantized_tensors(result.writer),
        feeds=seen.feeds if seen.feeds is not None else max(found.feeds for found in engine.statistics.values()),
        passes=passes,
        held_out=comparison.feeds,
        outputs=comparison.outputs,
        loss=comparison.loss,
        bytes_before=model_bytes(original),
        bytes_after=model_bytes(result.model),
        notes=(*prepared.notes, *portability_notes(rule)),
    )
    notes = _notes(record, same=seen is held_out)
    return result.model, dataclasses.replace(record, notes=(*record.notes, *notes))


def _sizes_on(sizes: Mapping[str, int], sample: Feed, batch: Feed) -> dict[str, int]:
    """The bytes of the tensors to observe on a batch, in proportion to the bytes that go in."""
    larger = sum(array.nbytes for array in batch.values()) / max(sum(array.nbytes for array in sample.values()), 1)
    return {name: int(size * larger) for name, size in sizes.items()}


def _with_weight_errors(result: StaticResult) -> tuple[NodeCoverage, ...]:
    errors = {unit.node.name: weight.error for unit, weight in result.writer.weights.items()}
    return tuple(dataclasses.replace(node, weight_error=errors.get(node.node)) for node in result.plan.nodes)


def _notes(record: QuantizeRecord, *, same: bool) -> list[str]:
    notes = []
    if same:
        notes.append("there is one feed only: the loss was measured on the feed that the ranges were observed on")
    if record.bytes_after >= record.bytes_before:
        notes.append("the file is not smaller: scales and conversions outweigh what the integers save")
    if record.weight_share < 0.5:
        notes.append(f"{1 - record.weight_share:.0%} of the weights stay in float; the table says why")
    return notes


def check_loss(comparison: ComparisonRecord, max_loss: float | None) -> None:
    """Hold the held-out loss against a budget.

    Raises:
        QualityGateError: It is above the budget, or an output is not finite.
    """
    if max_loss is None or (comparison.loss is not None and comparison.loss <= max_loss):
        return
    worst = max(comparison.outputs, key=lambda row: float("inf") if row.loss is None else row.loss)
    found = "NaN or infinity" if worst.loss is None else f"{worst.loss_name} {worst.loss:.6g}"
    raise QualityGateError(
        f"the int8 model misses its loss budget: {found} in output {worst.output!r} on {comparison.feeds} held-out "
        f"feeds, allowed is {max_loss}. Leave sensitive nodes in float with --exclude, or give more samples."
    )
