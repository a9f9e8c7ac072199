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
from edgebig.quantize.calibrate.observe import observe, tensor_groups
from edgebig.quantize.calibrate.statistics import TensorStatistics
from edgebig.quantize.exclude import node_name
from edgebig.quantize.formats.qdq import QdqWriter, WeightRule
from edgebig.quantize.plan import Plan, make_plan
from edgebig.quantize.weight_bits import weight_rule
from edgebig.records.comparison import ComparisonRecord
from edgebig.records.quantize import QuantizedTensor, QuantizeOptions, QuantizeRecord, parse_size
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
    single = open_samples(data, specs, batch_size=1, limit=options.samples)
    feed = next(iter(single))
    plan = make_plan(original, feed, target, options.exclude)
    batch = max(1, min(DEFAULT_BATCH, budget // max(sum(plan.sizes.values()), 1)))
    samples = open_samples(data, specs, batch_size=batch, limit=options.samples)
    calibration, held_out = samples.split(HELD_OUT)
    sizes = _sizes_on(plan, feed, next(iter(samples)))
    statistics = observe(
        plan.model, calibration, sizes, budget=budget, histograms=method.needs_histogram, threads=options.threads
    )
    ranges = {name: method.choose(found, *plan.limits[name], LEVELS) for name, found in statistics.items()}
    rule, bits = weight_rule(options.weight_bits, target)
    writer = write_integers(plan, ranges, rule, target)
    machine = machine_facts()
    stamp(plan.model, "quantize", options, inputs=(*source_files(original), *samples.files), machine=machine)
    comparison = compare_models(original, plan.model, held_out, threads=options.threads)
    record = QuantizeRecord(
        target=target.name,
        calibration=options.calibration,
        weight_bits=bits,
        machine=machine,
        nodes=_with_weight_errors(plan, writer),
        tensors=_tensors(writer, statistics),
        feeds=calibration.feeds or 0,
        passes=len(tensor_groups(sizes, budget)),
        held_out=comparison.feeds,
        outputs=comparison.outputs,
        loss=comparison.loss,
        bytes_before=model_bytes(original),
        bytes_after=model_bytes(plan.model),
        notes=plan.notes,
    )
    record = dataclasses.replace(record, notes=(*plan.notes, *_notes(record, same=calibration is held_out)))
    _check_loss(comparison, options.max_loss)
    return plan.model, record


def write_integers(
    plan: Plan, ranges: Mapping[str, tuple[float, float]], rule: WeightRule, target: Target
) -> QdqWriter:
    """Change the plan's model: integers where the plan has them, unused nodes and weights gone.

    Args:
        plan: What runs in integers.
        ranges: Tensor name -> (smallest, largest) value to be represented.
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
    )
    for unit in plan.placement.units:
        unit.write(unit, writer)
    RemoveUnusedNodesPass()(plan.model)
    graph.sort()
    return writer


def _sizes_on(plan: Plan, sample: Feed, batch: Feed) -> dict[str, int]:
    """The bytes of the tensors to observe on a batch, in proportion to the bytes that go in."""
    larger = sum(array.nbytes for array in batch.values()) / max(sum(array.nbytes for array in sample.values()), 1)
    return {name: int(size * larger) for name, size in plan.sizes.items()}


def _with_weight_errors(plan: Plan, writer: QdqWriter) -> tuple:  # type: ignore[type-arg]
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


def _check_loss(comparison: ComparisonRecord, max_loss: float | None) -> None:
    if max_loss is None:
        return
    if comparison.loss is None or comparison.loss > max_loss:
        worst = max(comparison.outputs, key=lambda row: float("inf") if row.loss is None else row.loss)
        found = "NaN or infinity" if worst.loss is None else f"{worst.loss_name} {worst.loss:.6g}"
        raise QualityGateError(
            f"the int8 model misses its loss budget: {found} in output {worst.output!r} on {comparison.feeds} held-out "
            f"feeds, allowed is {max_loss}. Leave sensitive nodes in float with --exclude, or give more samples."
        )
