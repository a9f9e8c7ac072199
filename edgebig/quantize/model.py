"""Quantization of a model: integers as a scheme writes them, and what was lost by them, measured."""

import onnx_ir as ir

from edgebig.graph.load import ModelLike, source_files
from edgebig.graph.provenance import stamp
from edgebig.graph.skeleton import model_bytes
from edgebig.quantize.job import DataLike, open_job
from edgebig.quantize.ledger import byte_ledger
from edgebig.quantize.loss_budget import within_budget
from edgebig.quantize.schemes import schemes
from edgebig.records.quantize import QuantizeOptions, QuantizeRecord
from edgebig.targets.cpu_features import machine_facts


def quantize_model(
    model: ModelLike, *, data: DataLike | None = None, options: QuantizeOptions | None = None
) -> tuple[ir.Model, QuantizeRecord]:
    """Quantize a model.

    Args:
        model: The float model, or its path; it stays as it is.
        data: Samples to observe ranges on (see `edgebig.data.samples.open_samples`); some of them are held out to
            measure the loss. Schemes that observe nothing do without; the loss is then not measured.
        options: How.

    Returns:
        The result, and what was done.

    Raises:
        InvalidModelError: The model cannot be read or run, is quantized already, or has nothing to quantize.
        InvalidDataError: The samples do not fit.
        UsageError: An unknown scheme, target, calibration method or node; or samples are missing.
        QualityGateError: The loss on the held-out samples exceeds `options.max_loss`.
    """
    options = options or QuantizeOptions()
    scheme = schemes.get(options.scheme)
    job = open_job(model, data, options)
    draft = scheme(job)
    if options.max_loss is not None:
        draft = within_budget(job, draft, options.max_loss)
    machine = machine_facts()
    files = job.samples.files if job.samples is not None else ()
    stamp(draft.model, "quantize", options, inputs=(*source_files(job.original), *files), machine=machine)
    comparison = None
    if job.held_out is not None:
        comparison = job.compare(draft.model)
    record = QuantizeRecord(
        target=job.prepared.facts.target.name,
        scheme=draft.scheme,
        calibration=draft.calibration,
        weight_bits=draft.weight_bits,
        machine=machine,
        nodes=draft.nodes,
        tensors=draft.tensors,
        feeds=draft.feeds,
        passes=draft.passes,
        held_out=0 if comparison is None else comparison.feeds,
        outputs=() if comparison is None else comparison.outputs,
        loss=None if comparison is None else comparison.loss,
        bytes_before=model_bytes(job.original),
        bytes_after=model_bytes(draft.model),
        bytes_by_kind=byte_ledger(draft.model),
        trials=draft.trials,
        budget=draft.budget,
        algorithms=draft.algorithms,
        notes=(*job.prepared.notes, *draft.notes),
    )
    return draft.model, record.with_notes(_notes(record, same=job.same_samples))


def _notes(record: QuantizeRecord, *, same: bool) -> list[str]:
    notes = []
    if same:
        notes.append("there is one feed only: the loss was measured on the feed that the ranges were observed on")
    if not record.held_out:
        notes.append("without samples the loss was not measured; give some with --data")
    if record.bytes_after >= record.bytes_before:
        notes.append("the file is not smaller: scales and conversions outweigh what the integers save")
    if record.weight_share < 0.5:
        notes.append(f"{1 - record.weight_share:.0%} of the weights stay in float; the table says why")
    return notes
