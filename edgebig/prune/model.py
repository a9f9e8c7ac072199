"""Prune a model: choose layers, find out what each is worth, prune them in order, and say what came of it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.feeds import Feed
from edgebig.data.samples import Samples, open_samples
from edgebig.errors import QualityGateError
from edgebig.evaluate.output_loss import OutputLoss
from edgebig.graph.edit import working_copy
from edgebig.graph.interface import input_specs
from edgebig.graph.load import ModelLike, describe_source, resolve_model, source_files
from edgebig.graph.provenance import stamp
from edgebig.prune.attempt import Attempts, Outcome
from edgebig.prune.eligibility import check_anything_left, check_not_quantized, reasons_to_skip
from edgebig.prune.goals import Goals
from edgebig.prune.judge import Judge, OutputJudge, TaskJudge, count
from edgebig.prune.layers import find_layers
from edgebig.prune.methods import methods
from edgebig.prune.notices import gain_warning
from edgebig.prune.patterns import patterns
from edgebig.prune.report import make_record
from edgebig.prune.search import Tried, search
from edgebig.prune.sensitivity import survey
from edgebig.prune.setting import Setting, floor_for
from edgebig.records.prune import HIGHEST, PruneOptions, PruneRecord, PruneTrial

DataLike = str | Path | Mapping[str, NDArray] | Sequence[Feed] | Samples
# One feed in so many is held out of the fit, to measure the loss on.
HELD_OUT = 4
# The sparsity at which layers are tried when the one to reach is not known yet, and the most they are tried at.
USUAL = 0.7
HIGHEST_TRIAL = 0.9


def prune_model(model: ModelLike, *, data: DataLike, options: PruneOptions) -> tuple[ir.Model, PruneRecord]:
    """Set weights to zero in a pattern, and fit the kept ones to samples so that the outputs stay.

    Args:
        model: The float model, or its path; it stays as it is.
        data: Samples to fit to (see `edgebig.data.samples.open_samples`); some of them are held out to measure the
            loss.
        options: How.

    Returns:
        The result, and what was done.

    Raises:
        InvalidModelError: The model cannot be read or run, is quantized, or has nothing to prune.
        InvalidDataError: The samples or the task do not fit.
        UsageError: An unknown pattern, method, target, loss, task or layer.
        QualityGateError: No sparsity stays within `options.max_loss`, or the result's outputs are not finite.
    """
    # Names first: an unknown one is said before anything is read.
    pattern, method = patterns.get(options.pattern), methods.get(options.method)
    slow = gain_warning(options.pattern, options.target)
    source = resolve_model(model)
    check_not_quantized(source)
    original = working_copy(source)
    layers = find_layers(original)
    reasons = reasons_to_skip(layers, pattern, include_ends=options.include_ends, exclude=options.exclude)
    check_anything_left(source, layers, reasons)
    samples = _counted(open_samples(data, input_specs(source)))
    fitted_to, held_out = samples.split(HELD_OUT)
    loss = options.loss if options.task is None else "auto"
    outputs = OutputLoss(original, held_out, loss=loss, threads=options.threads)
    judge = _judge(original, outputs, options)
    feeds = fitted_to.feeds or 1
    setting = Setting(
        pattern=pattern,
        method=method,
        goals=Goals(original, layers, fitted_to, feeds=feeds, seed=options.seed, threads=options.threads),
        floor=floor_for(options.sparsity or HIGHEST),
        budget=options.budget,
        compensate=options.compensate,
    )
    surveyed = None
    if options.scope == "global":
        eligible = [layer for layer in layers if layer.index not in reasons]
        surveyed, refused = survey(original, eligible, setting, outputs, trial=_trial_sparsity(options))
        reasons |= refused
        check_anything_left(source, layers, reasons)
    best, trials = _best(
        Attempts(original, layers, reasons, setting, judge, outputs, surveyed, options.max_loss), options
    )
    record = make_record(
        original,
        options,
        layers=layers,
        reasons=reasons,
        surveyed=surveyed,
        best=best,
        trials=trials,
        loss_name=judge.name,
        held_out=count(held_out)[1],
        same_samples=fitted_to is held_out,
    )
    if slow is not None:
        record = dataclasses.replace(record, warnings=(slow, *record.warnings))
    result = best.result.model
    stamp(result, "prune", options, inputs=(*source_files(source), *samples.files))
    return result, record


def _counted(samples: Samples) -> Samples:
    """Samples whose number of feeds is known, so that splitting them leaves neither part empty."""
    return samples if samples.feeds is not None else dataclasses.replace(samples, feeds=count(samples)[0])


def _judge(original: ir.Model, outputs: OutputLoss, options: PruneOptions) -> Judge:
    return OutputJudge(outputs) if options.task is None else TaskJudge(original, options.task, options.threads)


def _trial_sparsity(options: PruneOptions) -> float:
    """Where layers are tried one by one: at the sparsity asked for, or at a usual one where that is to be found."""
    most = HIGHEST_TRIAL if options.max_loss is None else USUAL
    return min(options.sparsity or USUAL, most)


def _best(attempts: Attempts, options: PruneOptions) -> tuple[Tried[Outcome], list[PruneTrial]]:
    if options.max_loss is not None:
        return search(attempts.at, max_loss=options.max_loss, cap=options.sparsity)
    tried = attempts.at(options.sparsity or 0.0)
    if tried.trial.loss is None:
        raise QualityGateError(
            f"{describe_source(attempts.original)} pruned to {options.sparsity} gives outputs that are not finite. "
            f"Ask for less, or exclude layers."
        )
    return tried, [tried.trial]
