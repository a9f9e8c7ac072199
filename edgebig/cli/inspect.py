"""`edgebig inspect`: what is in a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import RenderableType

from edgebig.cli.options import FILE, json_option
from edgebig.cli.output import check_json_target, plain_table, progress, show
from edgebig.errors import UsageError
from edgebig.records.inspect import InspectOptions

if TYPE_CHECKING:
    from edgebig.records.inspect import InspectRecord, TensorInfo

DEFAULTS = InspectOptions()


@click.command("inspect")
@click.argument("model", type=FILE)
@click.option("--dim", "dims", multiple=True, metavar="NAME=SIZE", help="Size of a dynamic axis, to count MACs with.")
@click.option(
    "--layers", type=click.IntRange(min=0), default=DEFAULTS.layers, show_default=True, help="Layers to list."
)
@json_option
@click.option("--force", is_flag=True, help="Replace the --json file if it exists.")
def command(model: Path, dims: Sequence[str], layers: int, json_target: str | None, force: bool) -> None:
    """Show what is in an ONNX model: ops, parameters, MACs, size.

    Dynamic axes count as 1 unless --dim says otherwise; INPUT:AXIS=SIZE names an axis that has no name.
    """
    options = InspectOptions(dims=dict(_size(text) for text in dims), layers=layers)
    check_json_target(json_target, force=force, inputs=[model])
    from edgebig.graph.inspection import inspect_model

    with progress():
        record = inspect_model(model, options=options)
    show(record, lambda: _render(record), json_target)


def _size(text: str) -> tuple[str, int]:
    name, _, size = text.rpartition("=")
    if not name or not size.isdecimal():
        raise UsageError(f"--dim {text!r} is not of the form NAME=SIZE, e.g. batch=1")
    return name, int(size)


def _render(record: "InspectRecord") -> Sequence[RenderableType]:
    opsets = ", ".join(f"{domain} {version}" for domain, version in record.opsets.items())
    sizes = ", ".join(f"{name} {size / 1000:,.1f} KB" for name, size in record.files.items())
    assumed = ", ".join(f"{name}={size}" for name, size in record.dims.items())
    macs = f"{_short(record.macs)}{f' (with {assumed})' if assumed else ''}"
    facts = [
        ["files", sizes],
        ["format", f"opset {opsets}; IR version {record.ir_version}; from {record.producer or 'unknown'}"],
        *(["input", _tensor(tensor)] for tensor in record.inputs),
        *(["output", _tensor(tensor)] for tensor in record.outputs),
        ["nodes", f"{record.nodes:,}: " + ", ".join(f"{name} {count}" for name, count in record.operators.items())],
        [
            "parameters",
            f"{record.parameters:,} ({', '.join(f'{n} {c:,}' for n, c in record.dtypes.items()) or 'none'})",
        ],
        ["MACs", macs],
        ["zeros", f"{_percent(record.zeros)} of the weights, {_percent(record.zero_blocks)} of their 16x4 blocks"],
        [
            "quantized",
            f"{_percent(record.quantized_parameters)} of parameters, {_percent(record.quantized_macs)} of MACs",
        ],
        *(["made by", f"{step.step} (edgebig {step.versions.get('edgebig', '?')})"] for step in record.provenance),
    ]
    parts: list[RenderableType] = [plain_table(record.model, ["", ""], facts)]
    if record.uncounted:
        problem = f" ({record.shape_problem})" if record.shape_problem else ""
        parts.append(
            f"MACs of {record.uncounted} of {record.layers_in_all} layers are unknown, since their shapes are not"
            f"{problem}. Give sizes with --dim, or run edgebig optimize first."
        )
    return [*parts, "", *_layers(record)] if record.layers else parts


def _layers(record: "InspectRecord") -> Sequence[RenderableType]:
    rows = [
        [
            layer.name,
            layer.op,
            "?" if layer.output is None else _shape(layer.output),
            _short(layer.parameters),
            "?" if layer.macs is None else _short(layer.macs),
            f"{100 * (layer.macs or 0) / max(record.macs, 1):.1f}",
            layer.precision,
            _percent(layer.zeros),
        ]
        for layer in record.layers
    ]
    title = f"The {len(rows)} heaviest of {record.layers_in_all} layers"
    columns = ["layer", "op", "output", "params", "MACs", "%", "precision", "zeros"]
    return [plain_table(title, columns, rows, right="params|MACs|%|zeros")]


def _tensor(tensor: "TensorInfo") -> str:
    shape = "unknown rank" if tensor.shape is None else _shape(tensor.shape)
    return f"{tensor.name}: {tensor.dtype.lower()} {shape}{' (has a default)' if tensor.has_default else ''}"


def _shape(shape: Sequence[int | str | None]) -> str:
    return "x".join("?" if size is None else str(size) for size in shape) or "scalar"


def _short(number: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("K", 10**3)):
        if number >= size:
            return f"{number / size:.2f}{unit}"
    return str(number)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"
