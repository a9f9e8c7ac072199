"""`edgebig export`: from a torch module to ONNX."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from edgebig.cli.options import json_option, output_option
from edgebig.cli.output import check_json_target, plain_table, progress, show
from edgebig.records.export import EXTERNAL_DATA, ExportOptions

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgebig.records.export import ExportRecord, Interface

_D = ExportOptions()
# So many refused combinations are shown.
_LISTED = 3


@click.command("export")
@click.argument("source")
@output_option
@click.option("--weights", metavar="FILE", help="A .safetensors file to load into the module.")
@click.option("--sample", metavar="SAMPLE", help="Real samples: an .npz, one array per input; or a folder of .npz.")
@click.option(
    "--input", "inputs", metavar="NAME:DTYPE:SHAPE", multiple=True, help="An input, e.g. ids:int64:?x128:0..30521"
)
@click.option("--dynamic", metavar="INPUT:AXIS=NAME", multiple=True, help="A dynamic axis, e.g. image:0=batch")
@click.option("--output-name", "outputs", metavar="NAME", multiple=True, help="An output's name; once for each.")
@click.option("--opset", type=int, help="Version of ONNX's operator set. Default: the newest that serves.")
@click.option(
    "--external-data",
    type=click.Choice(EXTERNAL_DATA),
    help="Weights in a file of their own. Default: auto, where they exceed 2 GB.",
)
@click.option("--tolerance", type=float, help=f"Largest error relative to an output's scale. Default: {_D.tolerance:g}")
@click.option("--sizes", metavar="AXIS=N,N,...", multiple=True, help="Sizes at which a dynamic axis is verified.")
@click.option("--samples", type=int, help=f"Real samples to compare on, at most. Default: {_D.samples}")
@click.option("--seed", type=int, help=f"Seed of the random inputs. Default: {_D.seed}")
@json_option
def command(source: str, output: Path, force: bool, json_target: str | None, **given: Any) -> None:
    """Export a torch module to ONNX and prove it equal.

    SOURCE is package.module:factory or path/file.py:factory (a function that returns the module), a .pt2 file, or the
    name of a model under models/, whose recipe gives the options left out here.

    The inputs come from --sample, or from one --input each, where ? is a dynamic axis. torch and onnxruntime are
    compared at several sizes of every dynamic axis and on real samples; where they differ, nothing is written.
    """
    from edgebig.export import export_model
    from edgebig.export.source import complete_options, input_files
    from edgebig.export.write import check_export_output, write_export

    check_json_target(json_target, force=force)
    options = complete_options(source, ExportOptions(**{k: v for k, v in given.items() if v not in (None, ())}))
    check_export_output(output, options, force=force, inputs=input_files(options))
    with progress():
        model, record = export_model(source, options=options)
        record = write_export(model, record, output, options, force=force)
    show(record, lambda: _render(record), json_target)


def _render(record: "ExportRecord") -> "Sequence[RenderableType]":
    rows = [(p.output, f"{p.worst_error:.1e}", f"{p.tolerance:.1e}", p.at) for p in record.parity]
    columns = ("output", "worst error", "bar", "at")
    table = plain_table("torch against onnxruntime", columns, rows, right="worst error|bar")
    head = [
        f"inputs   {'; '.join(map(_interface, record.inputs))}",
        f"outputs  {'; '.join(map(_interface, record.outputs))}",
        f"graph    by torch's {record.exporter} exporter, opset {record.opset}, {record.parameters:,} parameters",
        "",
    ]
    lines = ["", f"Equal at {record.describe_sizes()}."]
    lines += [f"Not compared at {s.sizes}: the module refuses it ({s.reason})." for s in record.skipped[:_LISTED]]
    if len(record.skipped) > _LISTED:
        lines.append(f"Nor at {len(record.skipped) - _LISTED} more combinations that it refuses; --json lists them.")
    lines += [f"Note: {note}" for note in record.notes]
    lines.append(f"Wrote {' and '.join(record.files)}, {(record.bytes or 0) / 1000:,.0f} KB.")
    return [*map(Text, head), table, *map(Text, lines)]


def _interface(value: "Interface") -> str:
    return f"{value.name}: {value.dtype} [{', '.join(map(str, value.shape))}]"
