"""Export a torch module to ONNX, and prove the result equal to it."""

from typing import Any

import onnx_ir as ir

from edgebig.data.feeds import Feed
from edgebig.errors import InvalidModelError, QualityGateError
from edgebig.export.attempts import Attempts
from edgebig.export.feeds import Feeds, in_order, open_feeds
from edgebig.export.input_specs import inputs_from_options
from edgebig.export.open_module import open_torch_model
from edgebig.export.opset import choose_opset
from edgebig.export.program_inputs import inputs_of_program
from edgebig.export.sizes import describe_sizes
from edgebig.export.source import check_files, complete_options, input_files, without_folders
from edgebig.export.torch_model import TorchModel
from edgebig.export.trials import Trials
from edgebig.graph.interface import input_specs
from edgebig.graph.opset import opset_version
from edgebig.graph.provenance import stamp
from edgebig.records.export import ExportOptions, ExportRecord, Interface


def export_model(source: Any, *, options: ExportOptions | None = None) -> tuple[ir.Model, ExportRecord]:
    """Export a torch module and compare it with the result, at several sizes of every dynamic axis.

    torch's dynamo exporter is tried first, then the older one by tracing. A graph counts only where onnxruntime, on all
    sizes that the module takes and on real samples where given, gives torch's outputs: real numbers within the
    tolerance of the output's scale, everything else exactly, NaN and infinity in the same places.

    Args:
        source: A `torch.nn.Module`; or `package.module:factory`, `path/file.py:factory`, a `.pt2` file, or the name of
            a model under `models/`, whose recipe then gives the options left at their defaults.
        options: The options; None for the defaults.

    Returns:
        The model, whose weights are the module's own memory until it is saved, and what was done.

    Raises:
        UsageError: The request is wrong, or an axis that shall be dynamic cannot be.
        InvalidDataError: The sample or the weights do not fit.
        InvalidModelError: No exporter can export the module.
        QualityGateError: What was exported is not equal to the module.
        MissingDependencyError: torch is not installed.
    """
    options = complete_options(source, options or ExportOptions())
    check_files(options)
    opset = choose_opset(options.opset)
    torch_model = open_torch_model(source, options)
    trials = Trials(torch_model, _open_feeds(torch_model, options), options)
    trials.prepare()
    outputs = torch_model.name_outputs(options.outputs, trials.feeds.example())
    attempts = Attempts(trials, outputs, opset)
    found = attempts.first_equal()
    if found is None:
        raise _failure(torch_model.where, attempts)
    exported, tally = found
    model = exported.model
    stamp(model, "export", without_folders(options), inputs=input_files(options))
    record = ExportRecord(
        source=without_folders(options).source or torch_model.where,
        exporter=exported.exporter,
        opset=opset_version(model) or opset,
        ir_version=model.ir_version,
        inputs=tuple(_interface(spec.name, spec.dtype, spec.shape or ()) for spec in input_specs(model)),
        outputs=tuple(_output(value) for value in model.graph.outputs),
        parameters=torch_model.parameters(),
        parity=tally.rows(),
        sizes=tuple(describe_sizes(sizes) for sizes in trials.sizes),
        skipped=tuple(trials.skipped),
        real_samples=trials.real_samples,
        notes=(*(f"{name} failed: {reason}" for name, reason in attempts.failures), *exported.notes),
        export_seconds=round(attempts.export_seconds, 3),
        parity_seconds=round(attempts.parity_seconds, 3),
    )
    return model, record


def _open_feeds(model: TorchModel, options: ExportOptions) -> Feeds:
    example: Feed | None = None
    if model.program is None:
        inputs = inputs_from_options(options)
    else:
        inputs = inputs_of_program(model.program, options)
        example = model.program_example([spec.name for spec in inputs.specs])
    feeds = open_feeds(inputs, options, example)
    model.bind([spec.name for spec in inputs.specs])
    return in_order(feeds, model.inputs)


def _failure(where: str, attempts: Attempts) -> InvalidModelError | QualityGateError:
    lines = "\n".join(f"  {name}: {reason}" for name, reason in attempts.failures)
    if attempts.missed_parity:
        return QualityGateError(f"{where}: the exported model is not equal to the module.\n{lines}")
    return InvalidModelError(f"{where} cannot be exported to ONNX.\n{lines}")


def _output(value: ir.Value) -> Interface:
    dtype = "unknown" if value.dtype is None else value.dtype.numpy()
    shape = [size if isinstance(size, int) else size.value for size in value.shape or ()]
    return _interface(value.name or "", dtype, shape)


def _interface(name: str, dtype: Any, shape: Any) -> Interface:
    return Interface(name=name, dtype=str(dtype), shape=tuple("?" if size is None else size for size in shape))
