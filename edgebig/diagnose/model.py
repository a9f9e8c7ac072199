"""Diagnose a quantized model: both models side by side on samples, layer by layer, and what repairs it."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.feeds import Feed
from edgebig.data.samples import DEFAULT_BATCH, Samples, open_samples
from edgebig.diagnose.causes import Context, causes_of, detect_inputs
from edgebig.diagnose.damage import Judge, Judgement, finite, judged
from edgebig.diagnose.first_wrong import first_wrong
from edgebig.diagnose.inspected import Inspected
from edgebig.diagnose.match import check_interfaces, match_graphs
from edgebig.diagnose.observe import layer_inputs, measure_sizes, observe_tensors
from edgebig.diagnose.prepare import prepare
from edgebig.diagnose.remedies import Candidate, find_remedies
from edgebig.diagnose.results import layer_rows, tensor_rows
from edgebig.diagnose.story import tell
from edgebig.diagnose.suspects import Suspects
from edgebig.errors import InvalidModelError
from edgebig.evaluate.model_file import open_model
from edgebig.evaluate.task import load_task
from edgebig.graph.interface import input_specs
from edgebig.graph.load import ModelLike, describe_source
from edgebig.graph.opset import opset_version, raise_opset
from edgebig.progress import track
from edgebig.records.diagnose import DiagnoseOptions, DiagnoseRecord
from edgebig.records.quantize import parse_size
from edgebig.targets import targets
from edgebig.targets.cpu_features import machine_facts

DataLike = str | Path | Mapping[str, NDArray] | Sequence[Feed] | Samples
# Outputs that are off by less than this, with a loss that is, need no remedy.
HEALTHY_ERROR, HEALTHY_LOSS = 0.05, 0.02


def diagnose_models(
    original: ModelLike, quantized: ModelLike, *, data: DataLike, options: DiagnoseOptions | None = None
) -> DiagnoseRecord:
    """Find which layers of a quantized model go wrong, why, and what repairs it.

    Any tool's file will do: QDQ, QOperator, dynamic, weight-only.

    Args:
        original: The float model, or its path.
        quantized: The model that was made from it, or its path.
        data: Samples (see `edgebig.data.samples.open_samples`); no labels are needed.
        options: How.

    Returns:
        What was found.

    Raises:
        InvalidModelError: A model cannot be read or run, the second is not quantized, or not made from the first.
        InvalidDataError: The samples do not fit.
        UsageError, UnknownNameError: The task does not work.
    """
    options = options or DiagnoseOptions()
    task = load_task(options.task) if options.task is not None else None
    first, second = open_model(original), open_model(quantized)
    check_interfaces(first.graph, second.graph)
    samples = _open(data, first.graph, options, batch=1)
    inspected = _inspect(first.graph, second.graph, samples, options.threads)
    feed = next(iter(samples))
    sizes = measure_sizes(inspected, feed, threads=options.threads)
    budget = parse_size(options.ram_budget)
    batch = max(1, min(DEFAULT_BATCH, budget // max(4 * sum(sizes.bytes.values()), 1)))
    samples = _open(data, first.graph, options, batch=batch)
    larger = _bytes(next(iter(samples))) / max(_bytes(feed), 1)
    sizes = dataclasses.replace(sizes, bytes={name: int(size * larger) for name, size in sizes.bytes.items()})
    facts, passes = observe_tensors(inspected, samples, sizes, budget=budget, threads=options.threads)
    suspects = Suspects(inspected, facts)
    ranked = suspects.ranked()
    values = layer_inputs(inspected, ranked[: options.layers], feed, threads=options.threads)
    context = Context(inspected, suspects, values)
    judge = Judge(first.source, samples, task, threads=options.threads)
    base = judge.of(second.source)
    healthy = base.error <= HEALTHY_ERROR and base.loss <= HEALTHY_LOSS
    candidates = _try_layers(judge, inspected, suspects, ranked[: options.layers])
    command = f"edgebig quantize {shlex.quote(_file(first.graph))} -o OUT.onnx --data {shlex.quote(_source(data))}"
    target = targets.get(options.target)()
    if options.target != DiagnoseOptions().target:
        command += f" --target {options.target}"
    remedies, findings = find_remedies(
        judge, context, candidates, base, command, healthy=healthy, wide=target.wide_activation_dtype is not None
    )
    causes = {item.layer: causes_of(context, item.layer) for item in candidates}
    feeds = samples.feeds if samples.feeds is not None else sum(1 for _ in samples)
    record = DiagnoseRecord(
        original=first.file,
        quantized=second.file,
        data=samples.source,
        feeds=feeds,
        passes=passes,
        loss_name=judge.loss_name,
        judged=judged(base),
        float_score=finite(judge.score_of(first.graph)),
        healthy=healthy,
        matched=len(inspected.matching.pairs),
        unmatched=tuple(value.name or "" for value in inspected.matching.unmatched),
        first_wrong=None if healthy else first_wrong(suspects),
        findings=(*detect_inputs(context), *findings),
        layers=layer_rows(suspects, candidates, base, causes),
        tensors=tensor_rows(suspects),
        remedies=tuple(remedies),
        command=next((remedy.command for remedy in remedies if remedy.helps), ""),
        story=(),
        machine=machine_facts(),
    )
    return dataclasses.replace(record, story=tuple(tell(record)))


def _open(data: DataLike, model: ir.Model, options: DiagnoseOptions, *, batch: int) -> Samples:
    return open_samples(data, input_specs(model), batch_size=batch, limit=options.samples)


def _inspect(original: ir.Model, quantized: ir.Model, samples: Samples, threads: int) -> Inspected:
    """Prepare both models and match them.

    Raises:
        InvalidModelError: Not a pair of a float and a quantized model.
    """
    ours, theirs = (prepare(model, samples, threads=threads) for model in (original, quantized))
    for model, other in ((ours, theirs), (theirs, ours)):
        version = opset_version(other)
        if version is not None and (opset_version(model) or version) < version:
            raise_opset(model, version)
    inspected = Inspected(ours, theirs, match_graphs(ours, theirs))
    if not inspected.quantized_layers:
        raise InvalidModelError(
            f"{describe_source(quantized)} holds no quantized layer that the float model has too. "
            f"To hold any two models against each other use edgebig compare."
        )
    return inspected


def _try_layers(judge: Judge, inspected: Inspected, suspects: Suspects, layers: Sequence[ir.Node]) -> list[Candidate]:
    """Put layers back to float, one at a time (with those that share the tensor at fault)."""
    known: dict[frozenset[ir.Node], Judgement] = {}
    found = []
    for layer in track(layers, "restoring layers"):
        together = frozenset(suspects.together(layer))
        if together not in known:
            known[together] = judge.restored(inspected, together)
        found.append(Candidate(layer, together, known[together]))
    return found


def _bytes(feed: Feed) -> int:
    return sum(array.nbytes for array in feed.values())


def _file(model: ir.Model) -> str:
    source = describe_source(model)
    return source if source.endswith(".onnx") else "FLOAT.onnx"


def _source(data: DataLike) -> str:
    return str(data) if isinstance(data, str | Path) else "DATA"
