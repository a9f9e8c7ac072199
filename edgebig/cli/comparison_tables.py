"""What `edgebig compare` shows."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from edgebig.cli.output import plain_table
from edgebig.records.comparison import ComparisonRecord
from edgebig.records.measurement import Comparison


def comparison_tables(record: ComparisonRecord, reference: Path, changed: Path) -> Sequence[RenderableType]:
    """Both models with size and latency, the distances of each output, and what makes the latency uncertain."""
    sizes = [(file.bytes or 0) / 1000 for file in (record.reference, record.changed)]
    columns, models = ["model", "KB", "size"], [[str(reference)], [str(changed)]]
    for row, size in zip(models, sizes, strict=True):
        row += [f"{size:,.0f}", f"{size / sizes[0]:.2f}x" if sizes[0] else ""]
    if record.latency is not None:
        columns += ["p50 ms", "speed [99 %]"]
        for row, measured in zip(models, record.latency.models, strict=True):
            row += [f"{measured.summary.p50 / 1e6:.3f}", _speed(measured.comparison)]
    table = plain_table(None, columns, models, right="KB|size|p50 ms|speed [99 %]")
    rows = [
        [
            row.output,
            row.loss_name,
            "NaN or inf" if row.loss is None else f"{row.loss:.4g}",
            "equal" if row.max_abs_error == 0 else _number(row.sqnr_db, ".1f"),
            _number(row.max_abs_error, ".3g"),
            _number(row.cosine, ".6f"),
            _number(row.top1_agreement, ".4f"),
        ]
        for row in record.outputs
    ]
    headers = ["output", "loss", "value", "SQNR dB", "max error", "cosine", "same top-1"]
    if all(row.top1_agreement is None for row in record.outputs):
        headers, rows = headers[:-1], [row[:-1] for row in rows]
    title = f"Outputs over {record.feeds:,} feeds of {record.data}"
    outputs = plain_table(None, headers, rows, right="value|SQNR dB|max error|cosine|same top-1")
    shapes = [f"{row.output}: other shapes on {row.other_shapes} feeds." for row in record.outputs if row.other_shapes]
    warnings = record.latency.warnings if record.latency is not None else ()
    return [table, "", Text(title, style="bold"), outputs, *shapes, *(Text(warning) for warning in warnings)]


def _speed(comparison: Comparison | None) -> str:
    if comparison is None:
        return "1.00x"
    return f"{comparison.speedup:.2f}x [{comparison.low:.2f}, {comparison.high:.2f}]"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
