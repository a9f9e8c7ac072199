"""Clean up a model's graph, outputs proven equal."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgebig.data.feeds import Feed
from edgebig.data.samples import Samples, open_samples
from edgebig.errors import InvalidModelError, UsageError
from edgebig.evaluate.proof import Proof, Verdict
from edgebig.evaluate.random_feeds import random_feeds
from edgebig.graph.interface import input_specs
from edgebig.graph.load import ModelLike, describe_source, resolve_model, source_files
from edgebig.graph.opset import MINIMUM_OPSET, opset_version
from edgebig.graph.provenance import stamp
from edgebig.graph.session import Session
from edgebig.graph.skeleton import model_bytes
from edgebig.optimize.interface import Interface
from edgebig.optimize.raise_opset import RaiseOpset
from edgebig.optimize.steps import optimize_steps
from edgebig.optimize.trial import Trial, optimized
from edgebig.passes.fingerprint import count_operators
from edgebig.records.optimize import OptimizeOptions, OptimizeRecord, OutputEquality, PassReport

DataLike = str | Path | Mapping[str, NDArray] | Sequence[Feed] | Samples
RANDOM = "random"


def optimize_model(
    model: ModelLike, *, data: DataLike | None = None, options: OptimizeOptions | None = None
) -> tuple[ir.Model, OptimizeRecord]:
    """Fold, merge and remove what the graph does not need, and prove that its outputs stay the same.

    A pass that fails, or changes an output by more than rounding, is left out, and the record says so.

    Args:
        model: The model, or its path; it stays as it is.
        data: Samples to compare outputs on (see `edgebig.data.samples.open_samples`); None for random inputs.
        options: How.

    Returns:
        The result, and what was done.

    Raises:
        InvalidModelError: The model cannot be read or run, or not be raised to the operator set asked for.
        InvalidDataError: The samples do not fit, or no random input runs.
        UsageError: The operator set asked for is lower than the model's, or unknown.
        QualityGateError: The outputs differ although nothing was changed.
    """
    options = options or OptimizeOptions()
    original = resolve_model(model)
    opset = _wanted_opset(original, options)
    runnable = original if isinstance(model, ir.Model) else Path(model)
    feeds, source = _feeds(original, runnable, data, options.seed)
    proof = Proof(runnable, feeds, tolerance=options.tolerance)
    trial, verdict, left_out = optimized(
        original, optimize_steps(opset=opset, freeze_inputs=options.freeze_inputs), proof
    )
    if options.opset is not None and (reason := left_out.get(RaiseOpset.__name__)):
        raise InvalidModelError(f"{describe_source(original)} cannot be raised to opset {options.opset}: {reason}")
    result = trial.model
    Interface.of(original).restore(result)
    data_files = feeds.files if isinstance(feeds, Samples) else ()
    stamp(result, "optimize", options, inputs=[*source_files(original), *data_files])
    return result, _record(original, trial, verdict, left_out, feeds, source)


def _wanted_opset(model: ir.Model, options: OptimizeOptions) -> int:
    current, wanted = opset_version(model), options.opset
    if wanted is None:
        return MINIMUM_OPSET
    if current is not None and wanted < current:
        raise UsageError(f"{describe_source(model)} is of opset {current}, which cannot be lowered to {wanted}.")
    if wanted > (newest := onnx.defs.onnx_opset_version()):
        raise UsageError(f"opset {wanted} is unknown to onnx {onnx.__version__}, whose newest is {newest}.")
    return wanted


def _feeds(
    model: ir.Model, runnable: ir.Model | Path, data: DataLike | None, seed: int
) -> tuple[Samples | list[Feed], str]:
    inputs = input_specs(model)
    if data is not None:
        samples = open_samples(data, inputs)
        return samples, samples.source
    return random_feeds(Session(runnable), inputs, seed=seed), RANDOM


def _record(
    original: ir.Model,
    trial: Trial,
    verdict: Verdict,
    left_out: Mapping[str, str],
    feeds: Samples | list[Feed],
    source: str,
) -> OptimizeRecord:
    reports = tuple(
        PassReport(name=name, counts=dict(counts), skipped=tuple(trial.skipped[name]))
        for name, counts in trial.counts.items()
        if counts or trial.skipped[name]
    )
    shapes = {f"{name}: {array.dtype} {list(array.shape)}": None for feed in feeds for name, array in feed.items()}
    files = source_files(original)
    return OptimizeRecord(
        model=describe_source(original),
        opset_before=opset_version(original),
        opset_after=opset_version(trial.model),
        nodes_before=dict(count_operators(original).most_common()),
        nodes_after=dict(count_operators(trial.model).most_common()),
        bytes_before=sum(path.stat().st_size for path in files) if files else model_bytes(original),
        bytes_after=model_bytes(trial.model),
        passes=reports,
        left_out=dict(left_out),
        data=source,
        feeds=sum(1 for _ in feeds),
        feed_shapes=tuple(shapes),
        outputs=tuple(
            OutputEquality(output=name, error=error, tolerance=verdict.tolerances[name])
            for name, error in verdict.errors.items()
        ),
        notes=_notes(trial.model, source),
    )


def _notes(model: ir.Model, source: str) -> tuple[str, ...]:
    branches = count_operators(model)["If"]
    if source != RANDOM or not branches:
        return ()
    return (f"random inputs may not reach all branches of {branches} If nodes: give samples with --data",)
