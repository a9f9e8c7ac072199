"""Static int8 quantization of a model: observe ranges on samples, write integers, measure what was lost."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgebig.data.feeds import Feed
from edgebig.data.samples import DEFAULT_BATCH, Samples, open_samples
from edgebig.errors import QualityGateError
from edgebig.evaluate.compare import compare_models
from edgebig.graph.interface import input_specs
from edgebig.graph.load import ModelLike, resolve_model, source_files
from edgebig.graph.provenance import stamp
from edgebig.graph.skeleton import model_bytes
from edgebig.quantize.calibrate import calibration_methods
from edgebig.quantize.calibrate.histogram import Histogram
from edgebig.quantize.calibrate.observe import observe
from edgebig.quantize.calibrate.statistics import TensorStatistics
from edgebig.quantize.exclude import node_name
from edgebig.quantize.formats.qdq import QdqWriter, WeightRule
from edgebig.quantize.plan import Plan, make_plan
from edgebig.quantize.tensors import channel_axis
from edgebig.quantize.unit import Unit
from edgebig.quantize.weight_bits import portability_notes, weight_rule
from edgebig.records.comparison import ComparisonRecord
from edgebig.records.quantize import NodeCoverage, QuantizedTensor, QuantizeOptions, QuantizeRecord, parse_size
from edgebig.targets import Target, targets
from edgebig.targets.cpu_features import machine_facts

DataLike = str | Path | Mapping[str, NDArray] | Sequence[Feed] | Samples
# One feed in so many is held out of the observation, to measure the loss on.
HELD_OUT = 4
LEVELS = 255


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
    method = calibration_methods.get(options.calibration)
    target = targets.get(options.target)()
    budget = parse_size(options.ram_budget)
    original = resolve_model(model)
    specs = input_specs(original)
    sample = next(iter(open_samples(data, specs, batch_size=1, limit=options.samples)))
    plan = make_plan(original, sample, target, options.exclude)
    batch = max(1, min(DEFAULT_BATCH, budget // max(sum(plan.sizes.values()), 1)))
    samples = open_samples(data, specs, batch_size=batch, limit=options.samples)
    seen, held_out = samples.split(HELD_OUT)
    sizes = _sizes_on(plan, sample, next(iter(samples)))
    statistics = _empty_statistics(plan, method.needs_histogram, options.bias_correction)
    passes = observe(plan.model, seen, statistics, sizes, budget=budget, threads=options.threads)
    ranges = {name: method.choose(statistics[name], *plan.limits[name], LEVELS) for name in plan.ranged}
    means = {unit: statistics[name].means for unit, name in plan.means.items() if options.bias_correction}
    rule, bits = weight_rule(options.weight_bits, target)
    writer = write_integers(plan, ranges, means, rule, target)
    machine = machine_facts()
    stamp(plan.model, "quantize", options, inputs=(*source_files(original), *samples.files), machine=machine)
    comparison = compare_models(original, plan.model, held_out, threads=options.threads)
    check_loss(comparison, options.max_loss)
    record = QuantizeRecord(
        target=target.name,
        calibration=options.calibration,
        weight_bits=bits,
        machine=machine,
        nodes=_with_weight_errors(plan, writer),
        tensors=_tensors(writer, statistics),
        feeds=seen.feeds if seen.feeds is not None else max(found.feeds for found in statistics.values()),
        passes=passes,
        held_out=comparison.feeds,
        outputs=comparison.outputs,
        loss=comparison.loss,
        bytes_before=model_bytes(original),
        bytes_after=model_bytes(plan.model),
        notes=(*plan.notes, *portability_notes(rule)),
    )
    notes = _notes(record, same=seen is held_out)
    return plan.model, dataclasses.replace(record, notes=(*record.notes, *notes))


def write_integers(
    plan: Plan,
    ranges: Mapping[str, tuple[float, float]],
    means: Mapping[Unit, NDArray],
    rule: WeightRule,
    target: Target,
) -> QdqWriter:
    """Change the plan's model: integers where the plan has them, unused nodes and weights gone.

    Args:
        plan: What runs in integers.
        ranges: Tensor name -> (smallest, largest) value to be represented.
        means: Weighted unit -> means of its input's channels, where its bias shall be corrected with them.
        rule: How weights are quantized.
        target: Where the result will run.
    """
    graph = plan.model.graph
    writer = QdqWriter(
        graph,
        target=target,
        ranges=ranges,
        float_results=plan.placement.float_results,
        rule=rule,
        means=means,
    )
    for unit in plan.placement.units:
        unit.write(unit, writer)
    RemoveUnusedNodesPass()(plan.model)
    graph.sort()
    return writer


def _empty_statistics(plan: Plan, histograms: bool, means: bool) -> dict[str, TensorStatistics]:
    """What will be gathered, by tensor name."""
    axes = {name: channel_axis(unit) for unit, name in plan.means.items()} if means else {}
    return {
        name: TensorStatistics(
            name,
            histogram=Histogram() if histograms and name in plan.ranged else None,
            channel_axis=axes.get(name),
        )
        for name in plan.sizes
        if name in axes or name in plan.ranged
    }


def _sizes_on(plan: Plan, sample: Feed, batch: Feed) -> dict[str, int]:
    """The bytes of the tensors to observe on a batch, in proportion to the bytes that go in."""
    larger = sum(array.nbytes for array in batch.values()) / max(sum(array.nbytes for array in sample.values()), 1)
    return {name: int(size * larger) for name, size in plan.sizes.items()}


def _with_weight_errors(plan: Plan, writer: QdqWriter) -> tuple[NodeCoverage, ...]:
    errors = {node_name(unit.node): weight.error for unit, weight in writer.weights.items()}
    return tuple(dataclasses.replace(node, weight_error=errors.get(node.node)) for node in plan.nodes)


def _tensors(writer: QdqWriter, statistics: Mapping[str, TensorStatistics]) -> tuple[QuantizedTensor, ...]:
    rows = []
    for name, params in writer.params.items():
        seen = statistics.get(name)
        rows.append(
            QuantizedTensor(
                tensor=name,
                scale=params.scale,
                zero_point=params.zero_point,
                observed_low=None if seen is None else seen.low,
                observed_high=None if seen is None else seen.high,
            )
        )
    return tuple(rows)


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
