"""Write an exported model, and check beforehand that it can be written."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

from edgebig.files import check_output
from edgebig.graph.save import save_model
from edgebig.records.export import ExportOptions, ExportRecord


def check_export_output(output: Path, options: ExportOptions, *, force: bool, inputs: Sequence[Path] = ()) -> None:
    """Refuse an output that cannot or should not be written, its data file included, before the export starts.

    Raises:
        OutputError: See `edgebig.files.check_output`.
    """
    check_output(output, force=force, inputs=inputs)
    if options.external:
        check_output(output.with_name(output.name + ".data"), force=force, inputs=inputs)


def write_export(
    model: ir.Model, record: ExportRecord, output: Path, options: ExportOptions, *, force: bool
) -> ExportRecord:
    """Write the model, and return the record with its files.

    Raises:
        OutputError: It cannot be written; existing files are as they were.
    """
    files = save_model(model, output, force=force, external_data=options.external)
    size = sum(file.stat().st_size for file in files)
    return dataclasses.replace(record, files=tuple(str(file) for file in files), bytes=size)
